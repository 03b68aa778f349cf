#include "consumer/service/exit_code.h"

namespace tidemark {

ExitCode exit_code(const WorldError& error) {
  switch (error.kind()) {
    case ErrorKind::kRetry: {
      // Class 08 and no SQLSTATE at all: nobody answered.
      const bool answered = !error.sqlstate().empty() && !error.sqlstate().starts_with("08");
      return answered ? ExitCode::kTryAgain : ExitCode::kUnreachable;
    }
    case ErrorKind::kShrink:
      return ExitCode::kTryAgain;
    case ErrorKind::kDenied:
      return ExitCode::kDenied;
    case ErrorKind::kBadData:
      return ExitCode::kData;
    case ErrorKind::kFatal:
    case ErrorKind::kConfig:
      return ExitCode::kConfig;
  }
  return ExitCode::kBug;
}

}  // namespace tidemark
