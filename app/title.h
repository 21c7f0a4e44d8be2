// The title of a conversation that nobody has named.
#pragma once

#include <string>
#include <string_view>

namespace app {

// "explain lifetimes in one sentence to": the first words of the first message.
std::string title_from(std::string_view prompt);

}  // namespace app
