#include "core/store/import.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/store/codec.h"
#include "core/store/formats.h"
#include "core/store/json_objects.h"

namespace core {
namespace {

using nlohmann::json;

[[noreturn]] void refuse(const std::string& place, const std::string& problem) {
    throw Error(ErrorKind::storage, place, problem, "nothing was imported");
}

template <class Value>
constexpr bool kWhole = std::is_integral_v<Value> && !std::is_same_v<Value, bool>;

// A whole number that fits: nlohmann would convert any number, huge ones to anything.
template <class Number>
Number whole(const json& value) {
    const bool fits = value.is_number_unsigned() ? std::in_range<Number>(value.get<uint64_t>())
                                                 : value.is_number_integer() &&
                                                       std::in_range<Number>(value.get<int64_t>());
    if (!fits) throw std::range_error("a number has no place here: " + value.dump());
    return value.get<Number>();
}

template <class Number>
std::vector<Number> whole_numbers(const json& array) {
    std::vector<Number> numbers;
    for (const json& each : array)
        numbers.push_back(whole<Number>(each));
    return numbers;
}

// A member that may be missing or null; of another type, nlohmann throws.
template <class Value>
Value member(const json& object, const char* key, Value otherwise = {}) {
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) return otherwise;
    if constexpr (kWhole<Value>)
        return whole<Value>(*found);
    else
        return found->get<Value>();
}

// --- our own ----------------------------------------------------------------------------------

chat::Sampling sampling_from(const json& object) {
    return sampling_of(member<std::map<std::string, std::string>>(object, "sampling"));
}

ConversationHead read_header(const json& object, const std::string& place) {
    const int version = whole<int>(object.at("moxie_chat"));
    if (version > kChatFormatVersion)
        refuse(place, "is of version " + std::to_string(version) + "; this build knows " +
                          std::to_string(kChatFormatVersion));
    ConversationHead head{.id = member<std::string>(object, "id"),
                          .title = member<std::string>(object, "title"),
                          .created = member<int64_t>(object, "created"),
                          .updated = member<int64_t>(object, "updated"),
                          .system = member<std::string>(object, "system"),
                          .sampling = sampling_from(object),
                          .fixed_seed = member<bool>(object, "fixed_seed"),
                          .stop = member<std::vector<std::string>>(object, "stop"),
                          .tip = member<chat::TurnId>(object, "tip"),
                          .pinned = member<bool>(object, "pinned"),
                          .archived = member<bool>(object, "archived")};
    const bool own_id = head.id.size() >= 4 && head.id.size() <= 16 &&
                        head.id.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (!own_id) head.id.clear();
    if (const json model = member<json>(object, "model"); model.is_object())
        head.model = {.name = member<std::string>(model, "name"),
                      .path = {},
                      .family = member<std::string>(model, "family"),
                      .bytes = member<uint64_t>(model, "bytes")};
    if (const json marks = member<json>(object, "bookmarks"); marks.is_object())
        for (const auto& [letter, turn] : marks.items())
            if (const auto id = whole<chat::TurnId>(turn); id > 0) head.bookmarks[letter] = id;
    if (const json origin = member<json>(object, "forked_from"); origin.is_object())
        head.origin = {.conversation = member<std::string>(origin, "conversation"),
                       .turn = member<chat::TurnId>(origin, "turn")};
    return head;
}

chat::Usage read_usage(const json& object) {
    const auto count = [&](const char* key) { return member<uint32_t>(object, key); };
    const auto seconds = [&](const char* key) { return member<double>(object, key); };
    return {.prompt = count("prompt"),
            .reused = count("reused"),
            .restored = count("restored"),
            .recomputed = count("recomputed"),
            .generated = count("generated"),
            .restored_bytes = member<uint64_t>(object, "restored_bytes"),
            .restore_seconds = seconds("restore_seconds"),
            .prefill_seconds = seconds("prefill_seconds"),
            .decode_seconds = seconds("decode_seconds"),
            .first_token_seconds = seconds("first_token_seconds")};
}

void read_answer(const json& object, const std::shared_ptr<const std::string>& system,
                 chat::Turn& turn) {
    turn.model = member<std::string>(object, "model");
    turn.system = object.contains("system")
                      ? std::make_shared<const std::string>(object["system"].get<std::string>())
                      : system;
    turn.sampling = sampling_from(object);
    turn.format = member<std::string>(object, "template");
    turn.seed = member<uint64_t>(object, "seed");
    turn.choice = member<uint32_t>(object, "choice");
    const auto finish = member<std::string>(object, "finish", "stop");
    turn.reason = reason_named(finish);
    turn.cut_off = finish == kCutOff;
    turn.error = member<std::string>(object, "error");
    turn.tokens = whole_numbers<TokenId>(member<json>(object, "tokens"));
    turn.text_offsets = whole_numbers<uint32_t>(member<json>(object, "offsets"));
    const auto end = static_cast<uint32_t>(turn.text.size());
    turn.text_offsets.resize(turn.tokens.size(), end);
    for (uint32_t& offset : turn.text_offsets)
        offset = std::min(offset, end);
    for (const json& change : member<std::vector<json>>(object, "changes")) {
        const auto at = member<uint32_t>(change, "at");
        turn.marks.push_back(
            {.change = {.at_token = at, .sampling = sampling_from(change)},
             .text_bytes = at < turn.text_offsets.size() ? turn.text_offsets[at] : end});
    }
    if (const json usage = member<json>(object, "usage"); usage.is_object())
        turn.usage = read_usage(usage);
}

chat::Turn read_turn(const json& object, const std::shared_ptr<const std::string>& system) {
    chat::Turn turn;
    turn.id = whole<chat::TurnId>(object.at("turn"));
    turn.parent = member<chat::TurnId>(object, "parent");
    turn.role = role_named(object.at("role").get<std::string>());
    turn.state = state_named(member<std::string>(object, "state", "done"));
    turn.created = member<int64_t>(object, "created");
    turn.text = object.at("text").get<std::string>();
    for (json file : member<std::vector<json>>(object, "files")) {
        auto attachment = std::make_shared<chat::Attachment>();
        const auto text = member<std::string>(file, "text");
        file.erase("text");
        *attachment = file_of(file.dump());
        attachment->text = text;
        turn.files.push_back(std::move(attachment));
    }
    turn.flags = {.pinned = member<bool>(object, "pinned"),
                  .excluded = member<bool>(object, "excluded"),
                  .outside = member<bool>(object, "outside"),
                  .removed = member<bool>(object, "removed")};
    if (turn.role == chat::Role::assistant) read_answer(object, system, turn);
    // It was being written when the file was; nobody writes it here.
    if (turn.state == chat::TurnState::streaming) {
        turn.state = chat::TurnState::interrupted;
        turn.cut_off = true;
    }
    return turn;
}

// --- ChatGPT ----------------------------------------------------------------------------------

int64_t milliseconds(const json& object, const char* key) {
    const auto seconds = member<double>(object, key);
    return seconds > 0 && seconds < 1e12 ? std::llround(seconds * 1e3) : 0;
}

std::string chatgpt_text(const json& message) {
    const json content = member<json>(message, "content");
    if (!content.is_object()) return {};
    std::string text;
    for (const json& part : member<std::vector<json>>(content, "parts")) {
        if (!text.empty()) text += "\n";
        // Pictures and sounds are in files of their own.
        text += part.is_string() ? part.get<std::string>() : "(something that is no text)";
    }
    return text;
}

// The tree of `mapping`, without the turns of tools and empty ones: what followed those follows
// what was before them.
class ChatGptTree {
  public:
    explicit ChatGptTree(const json& object) : mapping_(object.at("mapping")) {
        for (const auto& [name, node] : mapping_.items()) {
            const auto parent = member<std::string>(node, "parent");
            if (parent.empty() || !mapping_.contains(parent))
                waiting_.emplace_back(name, 0);
            else
                children_[parent].push_back(name);
        }
        while (!waiting_.empty()) {
            const auto [name, parent] = waiting_.back();
            waiting_.pop_back();
            visit(name, parent);
        }
        const auto current = places_.find(member<std::string>(object, "current_node"));
        tip_ =
            current != places_.end() ? current->second : static_cast<chat::TurnId>(turns_.size());
    }

    std::vector<chat::Turn> take_turns() { return std::move(turns_); }
    chat::TurnId tip() const { return tip_; }
    const std::string& system() const { return system_; }

  private:
    void visit(const std::string& name, chat::TurnId parent) {
        if (!places_.emplace(name, parent).second) return;
        const json message = member<json>(mapping_[name], "message");
        const chat::TurnId here = message.is_object() ? add(message, parent) : parent;
        places_[name] = here;
        const std::vector<std::string>& children = children_[name];
        // Taken from the back: the first child comes first.
        for (auto child = children.rbegin(); child != children.rend(); ++child)
            waiting_.emplace_back(*child, here);
    }

    chat::TurnId add(const json& message, chat::TurnId parent) {
        const auto role =
            member<std::string>(member<json>(message, "author", json::object()), "role");
        std::string text = chatgpt_text(message);
        if (text.empty()) return parent;
        if (role == "system" && turns_.empty()) system_ = text;
        if (role != "user" && role != "assistant") return parent;
        chat::Turn& turn = turns_.emplace_back();
        turn.id = static_cast<chat::TurnId>(turns_.size());
        turn.parent = parent;
        turn.role = role_named(role);
        turn.created = milliseconds(message, "create_time");
        turn.text = std::move(text);
        if (turn.role == chat::Role::assistant)
            turn.model = member<std::string>(member<json>(message, "metadata", json::object()),
                                             "model_slug", "ChatGPT");
        return turn.id;
    }

    json mapping_;
    std::map<std::string, std::vector<std::string>> children_;
    std::vector<std::pair<std::string, chat::TurnId>> waiting_;
    std::map<std::string, chat::TurnId> places_;
    std::vector<chat::Turn> turns_;
    chat::TurnId tip_ = 0;
    std::string system_;
};

StoredConversation read_chatgpt(const json& object) {
    ChatGptTree tree(object);
    StoredConversation stored;
    stored.head = {.title = member<std::string>(object, "title"),
                   .created = milliseconds(object, "create_time"),
                   .updated = milliseconds(object, "update_time"),
                   .system = tree.system(),
                   .tip = tree.tip()};
    stored.conversation =
        chat::Conversation(tree.take_turns(), stored.head.tip, stored.head.system);
    return stored;
}

// --- ShareGPT ---------------------------------------------------------------------------------

StoredConversation read_sharegpt(const json& object) {
    static const std::set<std::string> users = {"human", "user"};
    std::vector<chat::Turn> turns;
    StoredConversation stored;
    for (const json& said : object.at("conversations")) {
        const auto from = member<std::string>(said, "from");
        auto text = member<std::string>(said, "value");
        if (from == "system") {
            stored.head.system = std::move(text);
            continue;
        }
        chat::Turn& turn = turns.emplace_back();
        turn.id = static_cast<chat::TurnId>(turns.size());
        turn.parent = turn.id - 1;
        turn.role = users.count(from) != 0 ? chat::Role::user : chat::Role::assistant;
        turn.text = std::move(text);
        if (turn.role == chat::Role::assistant) turn.model = from;
    }
    stored.head.title = member<std::string>(object, "title");
    stored.head.tip = static_cast<chat::TurnId>(turns.size());
    stored.conversation = chat::Conversation(std::move(turns), stored.head.tip, stored.head.system);
    return stored;
}

// --- a file -----------------------------------------------------------------------------------

// Objects become conversations; turns of our own stand behind their header.
class Reader {
  public:
    explicit Reader(const std::function<void(const StoredConversation&)>& take) : take_(take) {}

    void on(const json& object, const std::string& place) {
        if (object.contains("turn") && head_) {
            turns_.push_back(read_turn(object, system_));
            return;
        }
        finish();
        if (object.contains("moxie_chat")) {
            head_ = read_header(object, place);
            size_ = member<chat::TurnId>(object, "size");
            place_ = place;
            system_ = std::make_shared<const std::string>(head_->system);
            for (const json& turn : member<std::vector<json>>(object, "turns"))
                turns_.push_back(read_turn(turn, system_));
        } else if (object.contains("mapping")) {
            give(read_chatgpt(object), place);
        } else if (object.contains("conversations")) {
            give(read_sharegpt(object), place);
        } else {
            refuse(place, "is no conversation that this build knows");
        }
    }

    void finish() {
        if (!head_) return;
        if (size_ != 0 && turns_.size() != size_)
            refuse(place_, "has " + std::to_string(turns_.size()) + " of " + std::to_string(size_) +
                               " turns");
        StoredConversation stored{.head = *std::exchange(head_, std::nullopt), .conversation = {}};
        stored.conversation =
            chat::Conversation(std::exchange(turns_, {}), stored.head.tip, stored.head.system);
        give(std::move(stored), place_);
    }

  private:
    void give(StoredConversation stored, const std::string& place) const {
        if (stored.conversation.empty()) refuse(place, "is a conversation without messages");
        if (stored.head.title.empty()) stored.head.title = "imported";
        const int64_t first = stored.conversation.turn(1).created;
        if (stored.head.created == 0) stored.head.created = first;
        if (stored.head.updated == 0) stored.head.updated = stored.head.created;
        take_(stored);
    }

    const std::function<void(const StoredConversation&)>& take_;
    std::optional<ConversationHead> head_;
    chat::TurnId size_ = 0;  // as the header says; 0: it does not
    std::vector<chat::Turn> turns_;
    std::shared_ptr<const std::string> system_;
    std::string place_;
};

}  // namespace

void read_conversations(const std::string& path,
                        const std::function<void(const StoredConversation&)>& take) {
    JsonObjects objects(path);
    Reader reader(take);
    bool any = false;
    while (const auto text = objects.next()) {
        any = true;
        try {
            reader.on(json::parse(*text), objects.place());
        } catch (const json::exception& error) {
            refuse(objects.place(), "does not make sense: " + std::string(error.what()));
        } catch (const std::range_error& error) {
            refuse(objects.place(), error.what());
        }
    }
    reader.finish();
    if (!any) refuse(path, "has no conversations in it");
}

}  // namespace core
