// Characters of the terminal.
#pragma once

#include <string>

namespace ui {

// Numbers keep their decimal point; only characters follow the user's locale. Without a UTF-8 one,
// C.UTF-8 is taken, which every glibc since 2.35 has built in, and told to readline, which looks at
// the environment again at every line. Returns what the user should know, or nothing. Before any
// thread is started: it may change the environment.
std::string use_utf8_locale();

}  // namespace ui
