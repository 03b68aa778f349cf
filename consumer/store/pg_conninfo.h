// What a connection string says: whom it trusts without having verified that it is the right
// server, and what may be shown of it.
#pragma once

#include <string>
#include <vector>

namespace tidemark {

// The hosts beyond loopback and Unix sockets that would be taken for the database by their word:
// all of them unless sslmode is verify-full, also by way of the PG* variables. A service whose
// hosts stand in a file counts as such a host. Empty: none. Throws WorldError(kConfig) when the
// string can't be read.
std::vector<std::string> unverified_hosts(const std::string& connection);

// The string as "key='value' ...", each secret ***; *** as a whole when it can't be read.
std::string without_password(const std::string& connection);

}  // namespace tidemark
