#include "app/subcommands/chats_cmd.h"

#include <algorithm>
#include <optional>
#include <ostream>

#include <nlohmann/json.hpp>

#include "app/session/kept_pages.h"
#include "app/session/library.h"
#include "app/session/residency.h"
#include "core/base/error.h"
#include "core/base/units.h"
#include "core/base/utf8.h"
#include "core/store/formats.h"
#include "core/store/waiting_store.h"

namespace app {
namespace {

using nlohmann::json;

using core::WaitingStore;

// What the KV cache has of it, for programs; null: it cannot be told.
json kept_json(const std::optional<chat::KvEntry>& entry) {
    if (!entry) return nullptr;
    return {{"state", residency_state(*entry)},
            {"tokens", entry->tokens},
            {"on_disk", entry->on_disk},
            {"bytes", entry->disk_bytes},
            {"restore_seconds", entry->restore_seconds},
            {"reread_seconds", entry->reread_seconds}};
}

json head_json(const core::ConversationHead& head) {
    return {{"id", head.id},
            {"title", head.title},
            {"created", head.created},
            {"updated", head.updated},
            {"model", head.model.name},
            {"turns", head.turns},
            {"branches", head.branches},
            {"tokens", head.tokens},
            {"pinned", head.pinned},
            {"archived", head.archived},
            {"deleted", head.deleted}};
}

std::string dumped(const json& value) {
    return value.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

int list(const ChatsOptions& options, WaitingStore& store, std::ostream& out) {
    const auto listed = store.ask<core::Listed>(core::ListConversations{
        .kind = options.kind, .filter = options.what, .limit = options.limit, .with_lines = true});
    json rows = json::array();
    for (const core::ConversationHead& head : listed.conversations) {
        const auto kept = pages_of(options.kv_folder, head);
        if (!options.json) {
            out << head_text(head) << " · " << (kept ? residency_label(*kept) : "-") << '\n';
            continue;
        }
        json row = head_json(head);
        row["kv"] = kept_json(kept);
        rows.push_back(std::move(row));
    }
    if (options.json) {
        out << dumped(rows);
        return 0;
    }
    if (listed.conversations.empty()) out << "There is no such conversation.\n";
    return 0;
}

int search(const ChatsOptions& options, WaitingStore& store, std::ostream& out) {
    const auto found =
        store.ask<core::Found>(core::SearchTurns{.text = options.what, .limit = options.limit});
    json rows = json::array();
    for (const core::SearchHit& hit : found.hits) {
        if (options.json) {
            rows.push_back({{"conversation", hit.conversation},
                            {"title", hit.title},
                            {"turn", hit.turn},
                            {"role", hit.role == chat::Role::user ? "user" : "assistant"},
                            {"created", hit.created},
                            {"snippet", hit.snippet}});
            continue;
        }
        std::string snippet = core::sanitize(hit.snippet);
        std::replace(snippet.begin(), snippet.end(), '\n', ' ');
        out << hit.conversation << "  " << core::sanitize(hit.title) << ": " << snippet << '\n';
    }
    if (options.json)
        out << dumped(rows);
    else if (found.hits.empty())
        out << "Nothing was found.\n";
    return 0;
}

int export_one(const ChatsOptions& options, WaitingStore& store, std::ostream& out) {
    const core::FileFormat format = !options.format.empty()
                                        ? core::file_format_named(options.format)
                                    : !options.path.empty() ? core::file_format_of(options.path)
                                                            : core::FileFormat::markdown;
    const auto loaded =
        store.ask<core::Loaded>(core::LoadConversation{.conversation = 1, .prefix = options.what});
    const std::string text =
        core::conversation_text(loaded.conversation, format, options.whole_tree);
    if (options.path.empty())
        out << text;
    else
        core::write_new_file(options.path, text);
    return 0;
}

int import_file(const ChatsOptions& options, WaitingStore& store, std::ostream& out) {
    const auto imported = store.ask<core::Imported>(core::ImportFile{.path = options.what});
    json rows = json::array();
    for (const core::ConversationHead& head : imported.conversations) {
        if (options.json)
            rows.push_back(head_json(head));
        else
            out << head_text(head) << '\n';
    }
    if (options.json)
        out << dumped(rows);
    else
        out << "Imported " << core::counted(imported.conversations.size(), "conversation") << ".\n";
    return 0;
}

int doctor(const ChatsOptions& options, WaitingStore& store, std::ostream& out) {
    const auto checked = store.ask<core::Checked>(core::CheckStore{});
    const int status = checked.problems.empty() ? 0 : static_cast<int>(core::ErrorKind::storage);
    if (options.json) {
        out << dumped({{"problems", checked.problems},
                       {"conversations", checked.conversations},
                       {"turns", checked.turns},
                       {"index_made_anew", checked.index_made_anew}});
        return status;
    }
    out << checked.conversations << " conversations, " << checked.turns << " turns\n";
    for (const std::string& problem : checked.problems)
        out << "problem: " << core::sanitize(problem) << '\n';
    if (checked.problems.empty()) out << "the database is whole\n";
    out << (checked.index_made_anew ? "the search index was made anew\n"
                                    : "the search index was left as it is\n");
    return status;
}

}  // namespace

int run_chats(const ChatsOptions& options, std::ostream& out) {
    WaitingStore store({.folder = options.data_folder,
                        .forget_lines = [&options](const std::vector<core::CachedLine>& lines) {
                            forget_pages(options.kv_folder, lines);
                        }});
    if (store.opened().access == core::StoreAccess::none && !store.opened().sentence.empty())
        throw core::Error(core::ErrorKind::storage, options.data_folder,
                          "has no saved chats that can be read");
    switch (options.action) {
        case ChatsAction::list: return list(options, store, out);
        case ChatsAction::search: return search(options, store, out);
        case ChatsAction::export_one: return export_one(options, store, out);
        case ChatsAction::import_file: return import_file(options, store, out);
        case ChatsAction::doctor: break;
    }
    return doctor(options, store, out);
}

}  // namespace app
