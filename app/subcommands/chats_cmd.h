// `moxie chats` and `moxie export`: the saved conversations without the chat.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

#include "core/store/records.h"

namespace app {

enum class ChatsAction : uint8_t { list, search, export_one, import_file, doctor };

struct ChatsOptions {
    ChatsAction action = ChatsAction::list;
    std::string data_folder = {};
    std::string kv_folder = {};  // where pages of the KV cache are
    std::string what = {};       // a part of titles, the text to find, a conversation, a file
    std::string path = {};       // of an export; empty: `out`
    std::string format = {};     // of an export; empty: as the path ends, else md
    core::ListKind kind = core::ListKind::open;
    uint32_t limit = 100;
    bool whole_tree = true;
    bool json = false;
};

// Prints; 0, or 9 when the doctor found something. Throws core::Error(storage, usage).
int run_chats(const ChatsOptions& options, std::ostream& out);

}  // namespace app
