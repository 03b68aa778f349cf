/* The exactness protocol (DESIGN 4.1, 4.2, 4.4) with every schedule of a small world, for spin.
 *
 * Every change adds one to the same cell. The cell is kept as the set of the changes that it
 * counts, so that one lost and one doubled change can't make up for each other. A transaction has
 * one change, and its number is its transaction id: ids are given in the order of the begins.
 * A step (d_step) is one statement or one commit; nobody sees half of it.
 *
 * -DNO_RULE takes a rule away; tests/model/run does it for each, see README.md.
 * -DREADER adds the reader's check of DESIGN 4.4 at every commit. */

/* The size of the world. */
#ifndef TRANSACTIONS
#define TRANSACTIONS 2 /* 4 at most, see XMAX */
#endif
#ifndef SLICES
#define SLICES 2
#endif
#ifndef HANDOVERS
#define HANDOVERS 1
#endif
#define BATCH 2 /* records at most */
#define RECORDS (2 * TRANSACTIONS) /* each may be redelivered once */

#define BIT(x) (1 << (x))
#define BELOW(n) (BIT(n) - 1) /* the ids below n, as a set */
#define WITHOUT(set, other) ((set) & ~(other))
#define NEVER 255
#define UNREAD 255

/* --- the source: transactions, their WAL, what snapshots see ---------------------------------- */

byte begun;                /* ids given; the next id */
byte written;              /* set: whose row stands in the WAL */
byte order[TRANSACTIONS];  /* commit records in the order of the WAL: the order of decoding */
byte commits;
byte visible;              /* set: what a snapshot taken now sees */

/* A snapshot's xmax: the newest *completed* id + 1, not the next id. */
#define XMAX(s) ((s) >= 8 -> 4 : ((s) >= 4 -> 3 : ((s) >= 2 -> 2 : ((s) >= 1 -> 1 : 0))))

/* F1: whose changes a snapshot s saw; `low`: whose row stood below L; n: the id read after L. */
#ifdef NO_BELOW_L
#define IS_LOW(low) BELOW(TRANSACTIONS)
#else
#define IS_LOW(low) (low)
#endif
#if defined(NO_LIST) || defined(NO_LSN_ONLY) /* the latter: without both */
#define RUNNING(s) 0
#else
#define RUNNING(s) WITHOUT(BELOW(XMAX(s)), s)
#endif
#if defined(NO_WINDOW) || defined(NO_LSN_ONLY)
#define WINDOW(s, n) 0
#else
#define WINDOW(s, n) WITHOUT(BELOW(n), BELOW(XMAX(s)))
#endif
#ifdef NO_NEXT
#define NEXT_ID XMAX(visible) /* of a second snapshot */
#else
#define NEXT_ID begun
#endif
#define SAW(s, low, n) WITHOUT(WITHOUT(IS_LOW(low), RUNNING(s)), WINDOW(s, n))

/* --- Kafka: one partition --------------------------------------------------------------------- */

byte records[RECORDS]; /* places in `order` */
byte end_offset;
byte emitted;   /* places of `order` that the connector has sent */
byte confirmed; /* ... that it has told the slot */
bool redelivered;
bool streamed; /* the connector has nothing more to send, ever */

/* --- the target ------------------------------------------------------------------------------- */

byte cell;        /* set: the changes that it counts */
byte next_offset; /* progress */
byte mark;        /* progress: the first place in `order` above all that was applied */
byte epoch;       /* progress */
bool row_locked;  /* the row of progress, to the end of the transaction */
byte sharers;     /* of the lock of F3 */
bool exclusive;
byte version;                   /* of the fences */
byte fence;                     /* set: the changes that it saw; empty: none */
byte fence_commits;             /* commit records below its L */
byte fence_end_offset = UNREAD; /* F9: read once the slot is at L */

#define ALL_IS_APPLIED (streamed && next_offset == end_offset)

/* --- what must hold --------------------------------------------------------------------------- */

byte covered, place; /* scratch within one step, else 0 */

inline find_covered() {
  do
  :: place < next_offset -> covered = covered | BIT(order[records[place]]); place++
  :: else -> break
  od;
  place = 0
}

/* At every commit. A change that is counted twice is found where it is added, see commit_apply. */
inline check() {
  find_covered();
  printf("        | the cell counts set %d, offsets cover set %d, the fence saw set %d\n", cell,
         covered, fence);
  assert(WITHOUT(covered, cell) == 0); /* LOST: it is applied and not counted */
#ifdef READER
  assert(cell == (fence | covered)); /* READER: finds another sum */
#endif
  covered = 0
}

/* --- the source and the connector ------------------------------------------------------------- */

proctype Transaction(byte x) {
  d_step { begun == x -> begun++; printf("tx %d    | begins\n", x) }
  d_step { written = written | BIT(x); printf("tx %d    | writes its row\n", x) }
  d_step { order[commits] = x; commits++; printf("tx %d    | its commit is in the WAL\n", x) }
  d_step { visible = visible | BIT(x); printf("tx %d    | is visible\n", x) }
}

proctype Connector() {
  do
  :: d_step {
       emitted < commits ->
       printf("stream  | tx %d at offset %d\n", order[emitted], end_offset);
       records[end_offset] = emitted;
       end_offset++;
       emitted++
     }
  :: d_step {
       confirmed < emitted -> confirmed = emitted;
       printf("stream  | the slot is told of %d commits\n", confirmed)
     }
  :: d_step {
       !redelivered && confirmed < emitted ->
       redelivered = true;
       emitted = confirmed;
       printf("stream  | the connector restarts after %d commits\n", confirmed)
     }
  :: confirmed == TRANSACTIONS -> break
  od;
  streamed = true
}

/* --- members ---------------------------------------------------------------------------------- */

/* N1. A change is new above the mark; a redelivered one adds nothing. The marks are those at the
 * batch's start, also for a second fold and for a retry (P3). */
#ifdef NO_MARK
#define IS_NEW(p, m) true
#else
#define IS_NEW(p, m) ((p) >= (m))
#endif

#if defined(NO_CAS) || defined(NO_OFFSET)
#define OFFSET_IS_MINE true
#else
#define OFFSET_IS_MINE (next_offset == from)
#endif
#if defined(NO_CAS) || defined(NO_EPOCH)
#define EPOCH_IS_MINE true
#else
#define EPOCH_IS_MINE (epoch == my_epoch)
#endif

#ifdef NO_TURNS
#define SLICE_HOLDS false
#define APPLY_HOLDS false
#else
#define SLICE_HOLDS exclusive
#define APPLY_HOLDS (sharers > 0)
#endif

#ifdef NO_VISIBLE
#define SEEN_BY_SNAPSHOTS true
#else
#define SEEN_BY_SNAPSHOTS (WITHOUT(delta, SAW(visible, written, NEXT_ID)) == 0)
#endif

/* From the batch, the marks at its start and the fences to the delta and the marks at its end. */
inline fold() {
  delta = 0;
  end_mark = my_mark;
  place = from;
  do
  :: place < to ->
     if
     :: IS_NEW(records[place], end_mark) ->
        if
        :: fence & BIT(order[records[place]])
        :: else ->
           assert(!(delta & BIT(order[records[place]]))); /* DOUBLE: within a batch */
           delta = delta | BIT(order[records[place]])
        fi;
        end_mark = (records[place] >= end_mark -> records[place] + 1 : end_mark)
     :: else
     fi;
     place++
  :: else -> break
  od;
  place = 0;
  folded_with = version
}

inline poll() {
  d_step {
    my_epoch != NEVER && next_offset < end_offset ->
    from = next_offset;
    to = (from + BATCH < end_offset -> from + BATCH : end_offset);
    my_mark = mark;
    fold();
    printf("member %d| polls offsets %d to %d, delta set %d\n", me, from, to - 1, delta)
  }
}

inline forget_batch() {
  from = 0; to = 0; my_mark = 0; end_mark = 0; delta = 0; folded_with = 0
}

inline lock_shared() {
  d_step { !SLICE_HOLDS -> sharers++; printf("member %d| has the shared lock\n", me) }
}

inline read_version() {
  d_step {
#ifndef NO_VERSION
    if
    :: folded_with != version ->
       fold();
       printf("member %d| folds again, delta set %d\n", me, delta)
    :: else
    fi;
#endif
    printf("member %d| has read the version\n", me)
  }
}

/* The first statement of a step is its guard: F2 waits here. */
inline commit_apply() {
  SEEN_BY_SNAPSHOTS ->
  printf("member %d| adds set %d and commits, next offset %d\n", me, delta, to);
  assert(!(cell & delta)); /* DOUBLE: it is counted already */
  cell = cell | delta;
  next_offset = to;
  mark = end_mark;
  sharers--;
  row_locked = false;
  check()
}

inline roll_back() {
  d_step { sharers--; row_locked = false; printf("member %d| rolls back\n", me) }
}

proctype Member(byte me) {
  byte my_epoch = (me == 0 -> 0 : NEVER);
  byte from, to, my_mark, end_mark, delta, folded_with;
idle:
  do
  :: poll() -> break
  :: d_step {
       epoch < HANDOVERS && my_epoch != epoch && !row_locked ->
       epoch++;
       my_epoch = epoch;
       printf("member %d| takes the partition over, epoch %d\n", me, epoch)
     }
  :: ALL_IS_APPLIED -> goto ended
  od;
apply:
  if /* P1: locks, checks and (seen by others at the commit) advances, in one step */
  :: d_step {
       !row_locked && OFFSET_IS_MINE && EPOCH_IS_MINE ->
       row_locked = true;
       printf("member %d| begins, has its row of progress\n", me)
     }
  :: d_step {
       !row_locked && !(OFFSET_IS_MINE && EPOCH_IS_MINE) ->
       printf("member %d| finds another's progress, drops the batch\n", me);
       forget_batch()
     };
     goto idle
  fi;
#ifdef NO_LATER
  read_version();
  lock_shared();
#else
  lock_shared();
  read_version();
#endif
  if
  :: d_step { commit_apply(); forget_batch() }; goto idle
#ifndef REPLIES_ARRIVE
  :: d_step { commit_apply() }; goto apply /* P3: it doesn't know, tries the same batch again */
#endif
  :: roll_back(); goto apply
  fi;
ended:
}

/* --- the recounter ---------------------------------------------------------------------------- */

inline lock_exclusive() {
  d_step {
    !APPLY_HOLDS && !SLICE_HOLDS -> exclusive = true;
    printf("recount | has the exclusive lock\n")
  }
}

inline read_counts() {
  d_step { counts = visible; printf("recount | counts set %d\n", counts) }
}

inline read_snapshot() {
  d_step {
    seen = visible;
    printf("recount | takes the snapshot set %d, xmax %d\n", seen, XMAX(seen))
  }
}

inline read_both() {
  d_step {
    counts = visible;
    seen = visible;
    printf("recount | counts and takes the snapshot set %d, xmax %d\n", seen, XMAX(seen))
  }
}

inline read_lsn() {
  d_step {
    low = written;
    low_commits = commits;
    printf("recount | reads L: the rows of set %d are below it\n", low)
  }
}

inline read_next() {
  d_step { next_id = NEXT_ID; printf("recount | reads n = %d\n", next_id) }
}

inline forget_slice() {
  exclusive = false; counts = 0; seen = 0; low = 0; low_commits = 0; next_id = 0
}

inline commit_slice() {
  d_step {
    cell = counts;
    fence = SAW(seen, low, next_id);
    fence_commits = low_commits;
    fence_end_offset = UNREAD;
    version++; /* in truth a random number */
    forget_slice();
    printf("recount | commits, version %d\n", version);
    check()
  }
}

proctype Recounter() {
  byte counts, seen, low, low_commits, next_id;
  do
  :: ALL_IS_APPLIED -> break
  :: version < SLICES ->
#ifdef NO_ONE_STATEMENT
     /* F4: REPEATABLE READ takes its snapshot with the lock statement, before it has the lock. */
     read_both()
     lock_exclusive();
#elif defined(NO_ONE_SNAPSHOT)
     lock_exclusive();
     read_counts();
     read_snapshot();
#else
     lock_exclusive();
     read_both()
#endif
#ifdef NO_ORDER
     read_next();
     read_lsn();
#else
     read_lsn();
     read_next();
#endif
     commit_slice()
  od
}

/* F9: the slot confirmed at or past L, the end offset read after that, and consumed. */
#define SLOT_PASSED_L (confirmed >= fence_commits)
#define END_CONSUMED (next_offset >= fence_end_offset)
#if defined(NO_DROP_SLOT)
#define MAY_READ_END true
#define MAY_DROP END_CONSUMED
#elif defined(NO_DROP_END)
#define MAY_READ_END SLOT_PASSED_L
#define MAY_DROP true
#elif defined(NO_DROP_ORDER)
#define MAY_READ_END true
#define MAY_DROP (SLOT_PASSED_L && END_CONSUMED)
#else
#define MAY_READ_END SLOT_PASSED_L
#define MAY_DROP END_CONSUMED
#endif

proctype Dropper() {
  do
  :: d_step {
       fence && fence_end_offset == UNREAD && MAY_READ_END ->
       fence_end_offset = end_offset;
       printf("dropper | reads the end offset %d\n", end_offset)
     }
  :: d_step {
       fence && fence_end_offset != UNREAD && MAY_DROP ->
       fence = 0;
       fence_commits = 0;
       fence_end_offset = UNREAD;
       printf("dropper | drops the fence\n");
       check()
     }
  :: ALL_IS_APPLIED -> break
  od
}

init {
  byte x;
  atomic {
    for (x : 0 .. TRANSACTIONS - 1) { run Transaction(x) }
    run Connector();
    run Member(0);
    run Member(1);
    run Recounter();
    run Dropper()
  }
  _nr_pr == 1 -> assert(cell == BELOW(TRANSACTIONS)) /* END: not each change once */
}
