#include "core/store/formats.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/store/codec.h"

namespace core {
namespace {

// Keys stand in the order in which they are written.
using Json = nlohmann::ordered_json;

constexpr std::array<std::pair<std::string_view, FileFormat>, 5> kEndings = {
    {{"jsonl", FileFormat::jsonl},
     {"json", FileFormat::json},
     {"md", FileFormat::markdown},
     {"html", FileFormat::html},
     {"txt", FileFormat::text}}};

// --- JSON -------------------------------------------------------------------------------------

Json header_json(const StoredConversation& stored) {
    const ConversationHead& head = stored.head;
    Json json = {{"moxie_chat", kChatFormatVersion},
                 {"id", head.id},
                 {"title", head.title},
                 {"created", head.created},
                 {"updated", head.updated},
                 {"tip", stored.conversation.tip()},
                 {"size", stored.conversation.size()},
                 {"system", stored.conversation.system()},
                 {"sampling", sampling_texts(head.sampling)},
                 {"fixed_seed", head.fixed_seed}};
    // Where the file lies is of this machine.
    if (!head.model.name.empty())
        json["model"] = {
            {"name", head.model.name}, {"family", head.model.family}, {"bytes", head.model.bytes}};
    if (!head.stop.empty()) json["stop"] = head.stop;
    if (head.pinned) json["pinned"] = true;
    if (head.archived) json["archived"] = true;
    if (!head.bookmarks.empty()) json["bookmarks"] = head.bookmarks;
    if (!head.origin.conversation.empty())
        json["forked_from"] = {{"conversation", head.origin.conversation},
                               {"turn", head.origin.turn}};
    return json;
}

Json usage_json(const chat::Usage& usage) {
    return {{"prompt", usage.prompt},
            {"reused", usage.reused},
            {"restored", usage.restored},
            {"recomputed", usage.recomputed},
            {"generated", usage.generated},
            {"restored_bytes", usage.restored_bytes},
            {"restore_seconds", usage.restore_seconds},
            {"prefill_seconds", usage.prefill_seconds},
            {"decode_seconds", usage.decode_seconds},
            {"first_token_seconds", usage.first_token_seconds}};
}

void add_answer(const chat::Turn& turn, const std::string& system, Json& json) {
    json["model"] = turn.model;
    if (!turn.format.empty()) json["template"] = turn.format;
    if (*turn.system != system) json["system"] = *turn.system;
    json["sampling"] = sampling_texts(turn.sampling);
    json["seed"] = turn.seed;
    json["choice"] = turn.choice;
    json["finish"] = turn.cut_off ? kCutOff : name_of(turn.reason);
    if (!turn.error.empty()) json["error"] = turn.error;
    json["tokens"] = turn.tokens;
    json["offsets"] = turn.text_offsets;
    for (const chat::ParameterMark& mark : turn.marks)
        json["changes"].push_back(
            {{"at", mark.change.at_token}, {"sampling", sampling_texts(mark.change.sampling)}});
    json["usage"] = usage_json(turn.usage);
}

Json turn_json(const chat::Turn& turn, const std::string& system) {
    Json json = {{"turn", turn.id},
                 {"parent", turn.parent},
                 {"role", name_of(turn.role)},
                 {"state", name_of(turn.state)},
                 {"created", turn.created},
                 {"text", turn.text}};
    for (const auto& file : turn.files) {
        Json& entry = json["files"].emplace_back(Json::parse(file_json(*file)));
        entry["text"] = file->text;
    }
    if (turn.flags.pinned) json["pinned"] = true;
    if (turn.flags.excluded) json["excluded"] = true;
    if (turn.flags.outside) json["outside"] = true;
    if (turn.flags.removed) json["removed"] = true;
    if (turn.role == chat::Role::assistant) add_answer(turn, system, json);
    return json;
}

// Bytes that are no UTF-8, which a user may have pasted, become U+FFFD.
std::string line_of(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string jsonl(const StoredConversation& stored) {
    const chat::Conversation& tree = stored.conversation;
    std::string text = line_of(header_json(stored)) + "\n";
    for (chat::TurnId id = 1; id <= tree.size(); ++id)
        text += line_of(turn_json(tree.turn(id), tree.system())) + "\n";
    return text;
}

std::string json(const StoredConversation& stored) {
    const chat::Conversation& tree = stored.conversation;
    Json whole = header_json(stored);
    whole["turns"] = Json::array();
    for (chat::TurnId id = 1; id <= tree.size(); ++id)
        whole["turns"].push_back(turn_json(tree.turn(id), tree.system()));
    return whole.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// --- for people -------------------------------------------------------------------------------

std::string speaker(const chat::Turn& turn) {
    if (turn.role == chat::Role::user) return "You";
    return turn.model.empty() ? "Model" : turn.model;
}

// What would not be known from the text.
std::string remark(const chat::Turn& turn) {
    switch (turn.state) {
        case chat::TurnState::interrupted: return "interrupted";
        case chat::TurnState::error: return turn.error;
        case chat::TurnState::edited: return "edited";
        default: return {};
    }
}

std::string markdown(const StoredConversation& stored) {
    const chat::Conversation& tree = stored.conversation;
    std::string text = "# " + stored.head.title + "\n";
    if (!tree.system().empty()) text += "\n> " + tree.system() + "\n";
    for (const chat::TurnId id : tree.line()) {
        const chat::Turn& turn = tree.turn(id);
        text += "\n## " + speaker(turn) + "\n\n" + turn.whole_text() + "\n";
        if (const std::string note = remark(turn); !note.empty()) text += "\n*(" + note + ")*\n";
    }
    return text;
}

std::string plain(const StoredConversation& stored) {
    const chat::Conversation& tree = stored.conversation;
    std::string text = stored.head.title + "\n";
    if (!tree.system().empty()) text += "\nSystem: " + tree.system() + "\n";
    for (const chat::TurnId id : tree.line()) {
        const chat::Turn& turn = tree.turn(id);
        text += "\n" + speaker(turn) + ": " + turn.whole_text() + "\n";
        if (const std::string note = remark(turn); !note.empty()) text += "(" + note + ")\n";
    }
    return text;
}

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        switch (c) {
            case '&': out += "&amp;"; break;
            case '<': out += "&lt;"; break;
            case '>': out += "&gt;"; break;
            case '"': out += "&quot;"; break;
            default: out += c;
        }
    }
    return out;
}

// A page that loads nothing from anywhere.
std::string html(const StoredConversation& stored) {
    const chat::Conversation& tree = stored.conversation;
    const std::string title = escaped(stored.head.title);
    std::string text =
        "<!doctype html>\n<html><head><meta charset=\"utf-8\"><title>" + title +
        "</title>\n<style>body{max-width:50em;margin:2em auto;font-family:sans-serif}"
        ".text{white-space:pre-wrap}.user{border-left:3px solid;padding-left:1em}"
        "</style></head>\n<body>\n<h1>" +
        title + "</h1>\n";
    if (!tree.system().empty()) text += "<p class=\"text\">" + escaped(tree.system()) + "</p>\n";
    for (const chat::TurnId id : tree.line()) {
        const chat::Turn& turn = tree.turn(id);
        text += "<section class=\"" + std::string(name_of(turn.role)) + "\"><h2>" +
                escaped(speaker(turn)) + "</h2>\n<div class=\"text\">" +
                escaped(turn.whole_text()) + "</div>\n";
        if (const std::string note = remark(turn); !note.empty())
            text += "<p><em>" + escaped(note) + "</em></p>\n";
        text += "</section>\n";
    }
    return text + "</body></html>\n";
}

[[noreturn]] void cannot_write(const std::string& path, int error) {
    throw Error(ErrorKind::storage, path,
                "cannot be written: " + std::generic_category().message(error),
                "choose another place");
}

}  // namespace

FileFormat file_format_named(std::string_view name) {
    std::string known;
    for (const auto& [ending, format] : kEndings) {
        if (ending == name) return format;
        known += (known.empty() ? "" : ", ") + std::string(ending);
    }
    throw Error(ErrorKind::usage, "format " + std::string(name), "is not known",
                "there are " + known);
}

FileFormat file_format_of(std::string_view path) {
    const size_t dot = path.rfind('.');
    if (dot == std::string_view::npos || path.find('/', dot) != std::string_view::npos)
        throw Error(ErrorKind::usage, std::string(path), "has no ending that says the format",
                    "end it with .jsonl, .json, .md, .html or .txt");
    return file_format_named(path.substr(dot + 1));
}

std::string conversation_text(const StoredConversation& stored, FileFormat format,
                              bool whole_tree) {
    if (!whole_tree && (format == FileFormat::jsonl || format == FileFormat::json)) {
        StoredConversation line{.head = stored.head, .conversation = {}};
        line.head.bookmarks.clear();  // its turns get other numbers
        line.conversation = stored.conversation.fork(stored.conversation.tip());
        return conversation_text(line, format, true);
    }
    switch (format) {
        case FileFormat::jsonl: return jsonl(stored);
        case FileFormat::json: return json(stored);
        case FileFormat::markdown: return markdown(stored);
        case FileFormat::html: return html(stored);
        case FileFormat::text: break;
    }
    return plain(stored);
}

void write_new_file(const std::string& path, std::string_view text) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0) {
        if (errno == EEXIST)
            throw Error(ErrorKind::usage, path, "is there already", "choose another name");
        cannot_write(path, errno);
    }
    while (!text.empty()) {
        const ssize_t written = ::write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            const int error = errno;
            ::close(fd);
            ::unlink(path.c_str());
            cannot_write(path, error);
        }
        text.remove_prefix(static_cast<size_t>(written));
    }
    if (::close(fd) != 0) cannot_write(path, errno);
}

}  // namespace core
