#include "consumer/store/dirty_table.h"

#include <algorithm>

#include "consumer/store/array_literal.h"

namespace tidemark {
namespace {

constexpr const char* kRulesSql = R"(
select r.at - 1, case when r.checkpoint is not null then coalesce(k.last_checkpoint, 0) end
  from unnest($1::text[], $2::text[]) with ordinality as r(name, checkpoint, at)
  join public.challenges c on c.id = r.name and c.active
  left join public.indexing_checkpoints k on k.tablename = r.checkpoint)";

// Who is marked already and held by nobody (xmax = 0) needs no other mark: whoever claims the user
// from now on reads the source later than this statement, and all that the batch tells of was
// visible before it (rule F2). Any other mark goes through the row's lock, and so waits for who
// derives the user, and is made anew when that one has deleted it (`do nothing`, or looking at the
// row without its xmax, would lose it: tried). The lookups are lateral with a limit, so that no
// plan reads a whole table for them.
constexpr const char* kMarkSql = R"(
insert into tidemark.dirty as d (user_id, rules, swept)
select b.user_id, array_agg(($3::text[])[b.rule] order by b.rule), $5::boolean
  from unnest($1::bigint[], $2::smallint[]) as b(user_id, rule)
  left join lateral (
       select true as found from tidemark.dirty w
        where w.user_id = b.user_id and w.xmax = 0 and (not w.swept or $5::boolean)
          and ($3::text[])[b.rule] = any(w.rules) limit 1) as waiting on true
  left join lateral (
       select true as found from public.user_challenges c
        where waiting.found is null and ($4::boolean[])[b.rule] and c.user_id = b.user_id
          and c.challenge_id = ($3::text[])[b.rule] and c.is_complete limit 1) as finished on true
 where waiting.found is null and finished.found is null
 group by b.user_id order by b.user_id
on conflict (user_id) do update
   set rules = case when d.rules @> excluded.rules then d.rules
               else array(select distinct r from unnest(d.rules || excluded.rules) as r) end,
       swept = d.swept and excluded.swept
 where not d.rules @> excluded.rules or (d.swept and not excluded.swept))";

constexpr const char* kForgetSql = R"(
delete from tidemark.corrections as c
 where exists (select from unnest($1::bigint[], $2::smallint[]) as b(user_id, rule)
                where b.user_id = any(c.users) and ($3::text[])[b.rule] = c.rule))";

constexpr const char* kRequestSql = R"(
update tidemark.sweeps set requested = true
 where rule in (select rule from tidemark.sweeps where rule = any($1::text[]) and not requested
                 order by rule for update))";

std::string via_name(RuleIndex rule, std::uint32_t source) {
  return "users_of_" + std::to_string(rule.value) + "_" + std::to_string(source);
}

// {t,f}: ArrayLiteral has no booleans.
std::string finishing(const Declaration& declaration) {
  std::string literal;
  for (const Rule& rule : declaration.rules) {
    literal += literal.empty() ? "{" : ",";
    literal += rule.finished_when_complete ? "t" : "f";
  }
  return literal + "}";
}

std::string names_of(const Declaration& declaration) {
  ArrayLiteral names;
  for (const Rule& rule : declaration.rules) names.add(rule.name);
  return names.take();
}

// What a sweep corrected ahead of these changes is explained by them. In a statement of its own,
// after the marks: these have waited for who derives the users, and what that one corrected is
// seen.
void forget_corrections(PgTransaction& transaction, const Declaration& declaration,
                        const std::vector<UserMark>& marks) {
  if (!transaction.run("any_correction", {}).boolean(0, 0)) return;
  ArrayLiteral users(marks.size());
  ArrayLiteral rules(marks.size(), 2);
  for (const auto& [user, rule] : marks) {
    users.add(user);
    rules.add(rule.value + 1);
  }
  transaction.run("forget_corrections", {users.take(), rules.take(), names_of(declaration)});
}

}  // namespace

void prepare_marks(PgConnection& connection, const Declaration& declaration) {
  if (declaration.rules.empty()) return;
  connection.prepare({"read_rules", "public.challenges"}, kRulesSql);
  connection.prepare({"mark_users", "tidemark.dirty"}, kMarkSql);
  connection.prepare({"any_correction", "tidemark.corrections"},
                     "select exists (select from tidemark.corrections)");
  connection.prepare({"forget_corrections", "tidemark.corrections"}, kForgetSql);
  connection.prepare({"request_sweeps", "tidemark.sweeps"}, kRequestSql);
  for (std::uint32_t r = 0; r < declaration.rules.size(); ++r) {
    const Rule& rule = declaration.rules[r];
    for (std::uint32_t s = 0; s < rule.dirty.size(); ++s) {
      if (rule.dirty[s].via.empty()) continue;
      connection.prepare({via_name(RuleIndex(r), s), rule.file}, rule.dirty[s].via);
    }
  }
}

std::vector<RuleState> read_rules(PgTransaction& transaction, const Declaration& declaration) {
  ArrayLiteral checkpoints;
  for (const Rule& rule : declaration.rules) {
    if (rule.checkpoint) {
      checkpoints.add(std::string_view(*rule.checkpoint));
    } else {
      checkpoints.add_null();
    }
  }
  std::vector<RuleState> states(declaration.rules.size());
  const SqlResult rows = transaction.run("read_rules", {names_of(declaration), checkpoints.take()});
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    states[static_cast<std::size_t>(rows.integer(row, 0))] = {true, rows.optional_integer(row, 1)};
  }
  return states;
}

std::vector<std::int64_t> users_of(PgTransaction& transaction, const Declaration& declaration,
                                   RuleIndex rule, std::uint32_t source,
                                   std::span<const std::int64_t> keys) {
  if (declaration.rule(rule).dirty[source].via.empty()) return {keys.begin(), keys.end()};
  if (keys.empty()) return {};
  std::vector<std::int64_t> users;
  const SqlResult rows = transaction.run(via_name(rule, source), {array_of(keys)});
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    if (const auto user = rows.optional_integer(row, 0)) users.push_back(*user);
  }
  return users;
}

std::size_t mark_users(PgTransaction& transaction, const Declaration& declaration,
                       std::vector<UserMark> marks, bool swept) {
  if (marks.empty()) return 0;
  std::ranges::sort(marks);
  const auto doubled = std::ranges::unique(marks);
  marks.erase(doubled.begin(), doubled.end());
  ArrayLiteral users(marks.size());
  ArrayLiteral rules(marks.size(), 2);
  for (const auto& [user, rule] : marks) {
    users.add(user);
    rules.add(rule.value + 1);
  }
  return transaction
      .run("mark_users", {users.take(), rules.take(), names_of(declaration), finishing(declaration),
                          swept ? "t" : "f"})
      .affected();
}

Marked add_marks(PgTransaction& transaction, const Declaration& declaration, const Delta& delta) {
  request_sweeps(transaction, declaration, delta.sweeps);
  Marked marked;
  if (delta.dirty.empty()) return marked;
  const std::vector<RuleState> states = read_rules(transaction, declaration);
  std::vector<UserMark> marks;
  for (const DirtyKeys& dirty : delta.dirty) {
    const RuleState& state = states[dirty.rule.value];
    if (!state.active) continue;
    std::vector<std::int64_t> above;
    for (std::size_t i = 0; i < dirty.keys.size(); ++i) {
      if (!state.checkpoint || dirty.blocks[i] > *state.checkpoint) above.push_back(dirty.keys[i]);
    }
    marked.below_checkpoint += dirty.keys.size() - above.size();
    for (const std::int64_t user :
         users_of(transaction, declaration, dirty.rule, dirty.source, above)) {
      marks.emplace_back(user, dirty.rule);
    }
  }
  marked.users = mark_users(transaction, declaration, marks, false);
  if (!marks.empty()) forget_corrections(transaction, declaration, marks);
  return marked;
}

void request_sweeps(PgTransaction& transaction, const Declaration& declaration,
                    std::span<const RuleIndex> rules) {
  if (rules.empty()) return;
  ArrayLiteral names;
  for (const RuleIndex rule : rules) names.add(std::string_view(declaration.rule(rule).name));
  transaction.run("request_sweeps", {names.take()});
}

void request_all_sweeps(PgTransaction& transaction, const Declaration& declaration) {
  std::vector<RuleIndex> all;
  for (std::uint32_t r = 0; r < declaration.rules.size(); ++r) all.emplace_back(r);
  request_sweeps(transaction, declaration, all);
}

}  // namespace tidemark
