#include "tests/sim/reader.h"

#include "tests/sim/trace.h"

namespace tidemark::sim {
namespace {

// By event: whether the stored offsets cover it.
std::vector<bool> covered_events(const Stored& stored, const Source& source,
                                 const Connector& connector) {
  std::vector<bool> covered(source.events().size(), false);
  for (std::size_t p = 0; p < stored.progress.size(); ++p) {
    const auto next = static_cast<std::size_t>(stored.progress[p].next.value);
    for (std::size_t offset = 0; offset < next; ++offset) {
      const Message& message = connector.partitions()[p][offset];
      if (message.event) covered[*message.event] = true;
    }
  }
  return covered;
}

bool saw(const Recounted& recounted, std::size_t commit) {
  return commit < recounted.saw->size() && (*recounted.saw)[commit];
}

}  // namespace

void check_cells(const Stored& stored, const Source& source, const Connector& connector) {
  Counts expected{};
  for (std::size_t cell = 0; cell < kCells; ++cell) {
    expected[cell] = stored.recounted[cell].value - stored.by_hand[cell];
  }
  const std::vector<bool> covered = covered_events(stored, source, connector);
  for (std::size_t i = 0; i < covered.size(); ++i) {
    if (!covered[i]) continue;
    const Event& event = source.events()[i];
    Counts change{};
    add_contributions(change, event.before, -1);
    add_contributions(change, event.after, +1);
    for (std::size_t cell = 0; cell < kCells; ++cell) {
      if (!saw(stored.recounted[cell], event.commit)) expected[cell] += change[cell];
    }
  }
  for (std::size_t cell = 0; cell < kCells; ++cell) {
    if (stored.is_suspect(cell) || stored.cells[cell] == expected[cell]) continue;
    throw Broken(fmt::format("{} is {}, its recount and the offsets say {}", cell_name(cell).text(),
                             stored.cells[cell], expected[cell]));
  }
}

void check_truth(const Stored& stored, const Source& source) {
  const Counts truth = source.count();
  for (std::size_t cell = 0; cell < kCells; ++cell) {
    const std::int64_t expected = truth[cell] - stored.by_hand[cell];
    if (stored.cells[cell] == expected) continue;
    throw Broken(fmt::format("in the end {} is {}, and should be {}", cell_name(cell).text(),
                             stored.cells[cell], expected));
  }
}

void check_drift(const Stored& stored) {
  Counts found{};
  for (const Drift& drift : stored.drift) found[drift.cell] += drift.amount;
  for (std::size_t cell = 0; cell < kCells; ++cell) {
    const std::string name = cell_name(cell).text();
    if (stored.ledger[cell]) throw Broken(fmt::format("{} still stands in the ledger", name));
    if (stored.ever_suspect[cell] || found[cell] == stored.by_hand_before[cell]) continue;
    throw Broken(fmt::format("{} drifted by {}, the ledger found {}", name,
                             stored.by_hand_before[cell], found[cell]));
  }
}

}  // namespace tidemark::sim
