// Scripts of keys and the pictures they end in: tests/screens/NAME.keys and NAME.screen.
//
// A script is a list of steps, one per line: a verb and its argument. The verbs are the test
// program's; here are only parsing, names of keys and the comparison. With MOXIE_UPDATE_SCREENS=1
// in the environment the pictures are written instead of compared; look at them before committing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace support {

struct Step {
    std::string verb;
    std::string argument;  // \n \t \e \xHH and \\ are replaced
    int line = 0;
};

// Blank lines and lines that begin with # are left out. Throws std::runtime_error.
std::vector<Step> read_script(const std::string& path);

// Bytes that a terminal sends for "Enter", "C-x", "M-Enter", "PgUp", "F5", "a". Throws
// std::runtime_error for a name that it does not know.
std::string bytes_of_key(std::string_view name);
std::vector<std::string> split_words(std::string_view text);

// Empty when the pictures are those of the file (or have just been written); else what differs.
std::string compare_with_file(const std::string& path, const std::string& pictures);

}  // namespace support
