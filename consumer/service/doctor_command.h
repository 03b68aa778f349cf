// `tidemark doctor`; as commands.h says.
#pragma once

#include "consumer/service/commands.h"

namespace tidemark {

struct DoctorCommand {
  bool json = false;
};

// Looks at all that a group needs, from the first connection to the last plan, and writes nothing.
// kFound: something doesn't work, or counts can go wrong; warnings alone are kOk.
ExitCode doctor_command(const CommonOptions& common, const DoctorCommand& command);

}  // namespace tidemark
