#include "consumer/service/config_commands.h"

#include <fmt/format.h>

#include <cstdio>

#include "consumer/service/command_setup.h"
#include "consumer/service/config_show.h"

namespace tidemark {

ExitCode config_show_command(const CommonOptions& common) {
  ConfigOrigins origins;
  const Config config = read_config(common, &origins);
  fmt::print("{}", show_config(config, origins));
  return ExitCode::kOk;
}

ExitCode config_schema_command() {
  fmt::print("{}", config_schema());
  return ExitCode::kOk;
}

}  // namespace tidemark
