#include "consumer/store/grants.h"

#include <set>
#include <vector>

#include "consumer/core/recount_sql.h"

namespace tidemark {
namespace {

std::string column_list(const std::vector<std::string>& columns) {
  std::string list;
  for (const std::string& column : columns) {
    list += (list.empty() ? "" : ", ") + quote_identifier(column);
  }
  return list;
}

std::string aggregate_grant(const Aggregate& aggregate, std::string_view role) {
  std::vector<std::string> written;
  for (const Counter& counter : aggregate.counters) written.push_back(counter.name);
  for (const Lookup& lookup : aggregate.lookups) written.push_back(lookup.column);
  for (const RecountedColumns& group : aggregate.recounted) {
    written.insert(written.end(), group.columns.begin(), group.columns.end());
  }
  std::vector<std::string> all{aggregate.key};
  all.insert(all.end(), written.begin(), written.end());
  return "grant select (" + column_list(all) + "), insert (" + column_list(all) + "), update (" +
         column_list(written) + ") on table " + quote_name(aggregate.name) + " to " +
         quote_identifier(role) + ";\n";
}

// What the statement that announces milestones needs beside watched tables.
std::string milestones_grant(const Milestones& milestones, const std::string& to) {
  std::string grants;
  for (const TableColumn& column : milestones.reads) {
    grants += "grant select (" + quote_identifier(column.column) + ") on table " +
              quote_name(column.table) + to;
  }
  for (const QualifiedName& table : milestones.inserts) {
    grants += "grant insert on table " + quote_name(table) + to;
  }
  for (const QualifiedName& sequence : milestones.sequences) {
    grants += "grant usage on sequence " + quote_name(sequence) + to;
  }
  return grants;
}

// What every rule needs. What triggers on its rows do is the application's to grant.
std::string challenge_grants(const std::string& to) {
  return "grant select on table public.challenges" + to +
         "grant select, update on table public.indexing_checkpoints" + to +
         "grant select, insert, update on table public.user_challenges" + to;
}

class Grants {
 public:
  explicit Grants(std::string_view role)
      : role_(role), to_(" to " + quote_identifier(role) + ";\n") {}

  void add_source(const Declaration& declaration) {
    for (const Table& table : declaration.tables) {
      schemas_.insert(table.name.schema);
      grants_ += "grant select on table " + quote_name(table.name) + to_;
    }
  }
  void add_target(const Declaration& declaration) {
    std::set<std::string> announced;  // several aggregates often need the same
    for (const Aggregate& aggregate : declaration.aggregates) {
      schemas_.insert(aggregate.name.schema);
      grants_ += aggregate_grant(aggregate, role_);
      for (const TableColumn& column : aggregate.milestones.reads) {
        schemas_.insert(column.table.schema);
      }
      for (const QualifiedName& table : aggregate.milestones.inserts) schemas_.insert(table.schema);
      announced.insert(milestones_grant(aggregate.milestones, to_));
    }
    for (const std::string& grant : announced) grants_ += grant;
    if (!declaration.rules.empty()) {
      schemas_.insert("public");
      grants_ += challenge_grants(to_);
    }
    for (const Rule& rule : declaration.rules) {
      for (const QualifiedName& table : rule.writes) {
        schemas_.insert(table.schema);
        grants_ += "grant select, insert, update on table " + quote_name(table) + to_;
      }
    }
  }
  std::string take() const {
    std::string usage;
    for (const std::string& schema : schemas_) {
      usage += "grant usage on schema " + quote_identifier(schema) + to_;
    }
    return usage + grants_;
  }

 private:
  std::string_view role_;
  std::string to_;
  std::set<std::string> schemas_;
  std::string grants_;
};

}  // namespace

std::string grants_sql(const Declaration& declaration, std::string_view role) {
  Grants grants(role);
  grants.add_source(declaration);
  grants.add_target(declaration);
  return grants.take();
}

std::string source_grants_sql(const Declaration& declaration, std::string_view role) {
  Grants grants(role);
  grants.add_source(declaration);
  return grants.take();
}

std::string target_grants_sql(const Declaration& declaration, std::string_view role) {
  Grants grants(role);
  grants.add_target(declaration);
  return grants.take();
}

std::string state_grants_sql(std::string_view role) {
  const std::string to = " to " + quote_identifier(role) + ";\n";
  return "grant usage on schema tidemark" + to +
         "grant select on tidemark.migrations, tidemark.state, tidemark.counters" + to +
         "grant select, insert, update on tidemark.progress" + to +
         "grant select, insert, update, delete on tidemark.suspects, tidemark.suspect_ranges" + to +
         "grant select, insert, update, delete on tidemark.unannounced" + to +
         "grant select, insert, delete on tidemark.parked" + to +
         "grant select, update on tidemark.turn" + to +
         "grant select, insert, update on tidemark.topics" + to +
         "grant select, insert, delete on tidemark.fences" + to +
         "grant select, insert, update, delete on tidemark.ledger" + to +
         "grant select, insert, update on tidemark.passes" + to +
         "grant select, insert on tidemark.drift" + to +
         "grant select, insert, update, delete on tidemark.replays, tidemark.dirty" + to +
         "grant select, update on tidemark.sweeps" + to +
         "grant select, insert, delete on tidemark.corrections" + to;
}

}  // namespace tidemark
