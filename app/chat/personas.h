// Texts that the user keeps under names: personas, which are instructions in front of a
// conversation, and prompts, which are put into the composer. Files of the configuration are the
// truth (docs/config.md): a conversation keeps the instructions themselves, not the name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "app/settings/named_files.h"

namespace app {

NamedFiles personas();  // personas/NAME.md
NamedFiles prompts();   // prompts/NAME.md

// A text as it is kept: without empty lines at its end.
std::string text_of(const NamedFile& file);

// What instructions are given as: @FILE, @PERSONA where there is no such file, or the words
// themselves. Throws core::Error(usage).
std::string instructions_of(const std::string& words);

// What Tab offers for them.
std::vector<std::string> complete_instructions(std::string_view begun);

}  // namespace app
