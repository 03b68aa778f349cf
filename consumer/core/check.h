// A bug is a failed CHECK and ends the process, in release too: a restart is always safe.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace tidemark {

[[noreturn]] inline void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "tidemark: bug: CHECK(%s) failed at %s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace tidemark

#define TIDEMARK_CHECK(expression) \
  ((expression) ? static_cast<void>(0) : ::tidemark::check_failed(#expression, __FILE__, __LINE__))
