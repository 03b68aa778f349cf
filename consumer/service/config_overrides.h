// TIDEMARK__SECTION__KEY in the environment replaces what the configuration file says.
#pragma once

#include <map>
#include <string>

#include "consumer/core/declaration_toml_section.h"
#include "consumer/service/config_keys.h"

namespace tidemark {

// Puts each into `root`, typed as in TOML, and notes where it came from. What names no key, or
// doesn't fit it, is an error that names the variable, never its value. In [kafka] an underscore is
// a dot (TIDEMARK__KAFKA__SASL_PASSWORD), in [topics.map] the table stands as it is
// (TIDEMARK__TOPICS__MAP__public.follows); a list has commas. `${NAME}` means nothing in them.
void apply_overrides(toml::table& root, const std::map<std::string, std::string>& environment,
                     ErrorList& errors, ConfigOrigins& origins);

// Where each value of a file stands. To be called before apply_overrides.
void note_places(const toml::table& root, const std::string& file, ConfigOrigins& origins);

}  // namespace tidemark
