// The page at /: consumer/service/status_page.html, built into the binary.
#pragma once

#include <string>

namespace tidemark {

std::string status_page();

}  // namespace tidemark
