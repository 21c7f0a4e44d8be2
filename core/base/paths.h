// Where moxie keeps its files: the XDG base directories, each with `/moxie` appended.
//
// An environment variable that is unset, empty or relative counts as absent (XDG specification
// 0.8), then the default below $HOME applies. Nothing is created until make_private_folder.
#pragma once

#include <string>

namespace core {

std::string config_folder();  // $XDG_CONFIG_HOME or ~/.config: config.toml, themes, presets
std::string data_folder();    // $XDG_DATA_HOME or ~/.local/share: chats
std::string state_folder();   // $XDG_STATE_HOME or ~/.local/state: log, history, layout
std::string cache_folder();   // $XDG_CACHE_HOME or ~/.cache: KV pages; may be deleted at any time

// $XDG_RUNTIME_DIR: sockets and locks. Without it `run` in the state folder, which outlives the
// session but belongs to the user alone, unlike anything in /tmp.
std::string runtime_folder();

// Creates the folder and its missing parents with mode 0700; one that exists keeps its mode.
// Returns `path`. Throws Error(storage).
const std::string& make_private_folder(const std::string& path);

}  // namespace core
