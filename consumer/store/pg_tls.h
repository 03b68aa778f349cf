// Whom a connection string trusts without having verified that it is the right server.
#pragma once

#include <string>
#include <vector>

namespace tidemark {

// The hosts beyond loopback and Unix sockets that would be taken for the database by their word:
// all of them unless sslmode is verify-full, also by way of the PG* variables. A service whose
// hosts stand in a file counts as such a host. Empty: none. Throws WorldError(kConfig) when the
// string can't be read.
std::vector<std::string> unverified_hosts(const std::string& connection);

}  // namespace tidemark
