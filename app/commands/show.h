// /show: what is in force, who set it, and what it takes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace app {

class ChatApp;

inline constexpr std::string_view kShowArguments =
    "params|model|template|memory|kv|context|tokens|keys|config";

void run_show(ChatApp& app, std::string_view topic);
std::vector<std::string> complete_show(const ChatApp& app, std::string_view begun);

}  // namespace app
