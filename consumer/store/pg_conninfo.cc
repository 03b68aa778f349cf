#include "consumer/store/pg_conninfo.h"

#include <libpq-fe.h>

#include <map>
#include <memory>
#include <sstream>
#include <string_view>

#include "consumer/core/ports.h"

namespace tidemark {
namespace {

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
using Options = std::unique_ptr<PQconninfoOption, FreeOptions>;

void take_values(const PQconninfoOption* option, std::map<std::string, std::string>& values) {
  for (; option->keyword != nullptr; ++option) {
    if (option->val != nullptr) values[option->keyword] = option->val;
  }
}

bool is_local(const std::string& host) {
  return host.empty() || host.starts_with('/') || host.starts_with('@') || host == "localhost" ||
         host.starts_with("127.") || host == "::1";
}

Options parse(const std::string& connection) {
  char* error = nullptr;
  Options options(PQconninfoParse(connection.c_str(), &error));
  PQfreemem(error);  // its text may quote the password
  return options;
}

std::string quoted(std::string_view value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

}  // namespace

std::string without_password(const std::string& connection) {
  const Options options = parse(connection);
  if (options == nullptr) return "***";
  std::string text;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val == nullptr) continue;
    const bool secret = option->dispchar[0] == '*';
    text += std::string(text.empty() ? "" : " ") + option->keyword + "=" +
            (secret ? "***" : quoted(option->val));
  }
  return text;
}

std::vector<std::string> unverified_hosts(const std::string& connection) {
  std::map<std::string, std::string> values;
  if (const Options defaults(PQconndefaults()); defaults) take_values(defaults.get(), values);
  const Options given = parse(connection);
  if (given == nullptr) {
    throw WorldError(ErrorKind::kConfig,
                     "[postgres]: the connection string can't be read; it must be "
                     "\"key=value key=value\" or a postgresql:// URI");
  }
  take_values(given.get(), values);
  if (values["sslmode"] == "verify-full") return {};
  std::vector<std::string> unverified;
  if (!values["service"].empty()) unverified.push_back("service " + values["service"]);
  // The address is where it connects to; the name is only what is verified.
  const std::string& hosts = values["hostaddr"].empty() ? values["host"] : values["hostaddr"];
  std::istringstream list(hosts);
  for (std::string host; std::getline(list, host, ',');) {
    if (!is_local(host)) unverified.push_back(host);
  }
  return unverified;
}

}  // namespace tidemark
