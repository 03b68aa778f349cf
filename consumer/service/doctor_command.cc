#include "consumer/service/doctor_command.h"

#include <fmt/format.h>

#include <cstdio>
#include <utility>
#include <vector>

#include "consumer/service/command_setup.h"
#include "consumer/service/doctor.h"
#include "consumer/service/doctor_kafka.h"
#include "consumer/service/postgres.h"
#include "consumer/store/admin.h"
#include "consumer/store/pg_doctor.h"

namespace tidemark {
namespace {

// Beside lanes and derivers: the recounter's two, and one for what members ask at their start.
constexpr std::size_t kOtherConnections = 3;

// Hosts that nobody verifies are a finding here.
Config with_any_host(Config config) {
  config.postgres.allow_unverified_hosts = true;
  return config;
}
PgOptions any_host(const Config& config) {
  return pg_options(with_any_host(config), Role::kService);
}

PgDoctorOptions pg_doctor_options(const Config& config) {
  return {.pg = any_host(config),
          .group_id = group_id(config),
          .slot = config.recount.slot,
          .unverified_allowed = config.postgres.allow_unverified_hosts,
          .recounted = config.recount.enabled,
          .connections = config.lanes + config.derive.threads + kOtherConnections,
          .source = source_options(with_any_host(config))};
}

std::vector<StartAt> stored_offsets(const Config& config) {
  Admin admin(any_host(config));
  std::vector<StartAt> stored;
  for (const ProgressRow& row : admin.read_progress()) stored.push_back({row.where, row.next});
  return stored;
}

}  // namespace

ExitCode doctor_command(const CommonOptions& common, const DoctorCommand& command) {
  const Config config = read_config(common);
  const Declaration declaration = read_declaration(config);
  const std::map<std::string, TopicTables> topics = resolve_topics(config.topics, declaration);
  PgDoctor postgres(declaration, pg_doctor_options(config));
  KafkaDoctor kafka(declaration, {.limits = config.pipeline.decode,
                                  .kafka = kafka_beside_group(config, topics),
                                  .topics = topics,
                                  .prefix = config.topics.prefix,
                                  .stored = [&config] { return stored_offsets(config); }});
  std::vector<DoctorCheck> checks = postgres.checks();
  for (DoctorCheck& check : kafka.checks()) checks.push_back(std::move(check));
  const Diagnosis diagnosis = diagnose(checks);
  fmt::print("{}", command.json ? json_of(diagnosis) : text_of(diagnosis));
  return diagnosis.count(Finding::Level::kError) == 0 ? ExitCode::kOk : ExitCode::kFound;
}

}  // namespace tidemark
