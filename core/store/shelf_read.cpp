// Rows of turns to values.
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "core/store/codec.h"
#include "core/store/shelf.h"

namespace core {
namespace {

constexpr const char* kTurns =
    "SELECT n.ordinal, p.ordinal, n.role, n.state, t.text, n.error, m.name, n.params_json, "
    "n.seed, n.finish_reason, k.ids, k.text_offsets, u.prompt_tok, u.cached_tok, "
    "u.restored_tok, u.recomputed_tok, u.gen_tok, u.restored_bytes, u.restore_ms, u.pp_ms, "
    "u.tg_ms, u.ttft_ms, n.system_id, s.text, n.created, n.rng_counter, n.pinned, n.excluded, "
    "n.removed "
    "FROM node n LEFT JOIN node p ON p.id = n.parent_id "
    "LEFT JOIN part t ON t.node_id = n.id AND t.idx = 0 "
    "LEFT JOIN model m ON m.id = n.author_model_id "
    "LEFT JOIN system_text s ON s.id = n.system_id "
    "LEFT JOIN token k ON k.node_id = n.id LEFT JOIN usage u ON u.node_id = n.id "
    "WHERE n.conv_id = ? ORDER BY n.ordinal";
constexpr int kFirstOfUsage = 12;
constexpr int kSystem = 22;
constexpr int kCreated = 24;
constexpr int kChoice = 25;
constexpr int kFlags = 26;

chat::Usage read_usage(const Statement& row) {
    int column = kFirstOfUsage;
    const auto count = [&] { return static_cast<uint32_t>(row.number(column++)); };
    const auto seconds = [&] { return row.real(column++) / 1e3; };
    // Braces evaluate in order.
    return {.prompt = count(),
            .reused = count(),
            .restored = count(),
            .recomputed = count(),
            .generated = count(),
            .restored_bytes = static_cast<uint64_t>(row.number(column++)),
            .restore_seconds = seconds(),
            .prefill_seconds = seconds(),
            .decode_seconds = seconds(),
            .first_token_seconds = seconds()};
}

// Answers that follow each other have nearly always the same parameters: their text is read once.
class ParameterReader {
  public:
    void read(std::string_view json, chat::Turn& turn) {
        if (json != json_) {
            json_ = json;
            const auto params = read_params_json(json);
            const auto format = params.find(std::string(kTemplate));
            format_ = format == params.end() ? "" : format->second;
            sampling_ = sampling_of(params);
        }
        turn.sampling = sampling_;
        turn.format = format_;
    }

  private:
    std::string json_;
    std::string format_;
    chat::Sampling sampling_;
};

void read_answer(const Statement& row, ParameterReader& parameters, chat::Turn& turn) {
    turn.model = row.text(6);
    parameters.read(row.text(7), turn);
    turn.seed = static_cast<uint64_t>(row.number(8));
    turn.choice = static_cast<uint32_t>(row.number(kChoice));
    turn.reason = reason_named(row.text(9));
    turn.cut_off = row.text(9) == kCutOff;
    // Another process may be writing it, or this database could not be repaired.
    if (turn.state == chat::TurnState::streaming) {
        turn.state = chat::TurnState::interrupted;
        turn.cut_off = true;
    }
    const std::vector<uint32_t> ids = decode_u32(row.blob(10));
    turn.tokens.assign(ids.begin(), ids.end());
    turn.text_offsets = decode_u32(row.blob(11));
    turn.text_offsets.resize(turn.tokens.size(), static_cast<uint32_t>(turn.text.size()));
    turn.usage = read_usage(row);
}

}  // namespace

StoredConversation Shelf::load(int64_t conversation) {
    StoredConversation stored{.head = head(conversation)};
    std::vector<chat::Turn> turns = load_turns(conversation);
    load_marks(conversation, turns);
    load_files(conversation, turns);
    load_bookmarks(conversation, stored.head);
    stored.head.turns = static_cast<uint32_t>(turns.size());
    stored.conversation = chat::Conversation(std::move(turns), stored.head.tip, stored.head.system);
    return stored;
}

std::vector<chat::Turn> Shelf::load_turns(int64_t conversation) {
    std::vector<chat::Turn> turns;
    // Answers given under the same instructions share one copy of them.
    std::map<int64_t, std::shared_ptr<const std::string>> systems;
    ParameterReader parameters;
    Statement rows = database_.prepare(kTurns);
    rows.bind(conversation);
    while (rows.step()) {
        chat::Turn& turn = turns.emplace_back();
        turn.id = static_cast<chat::TurnId>(rows.number(0));
        turn.parent = static_cast<chat::TurnId>(rows.number(1));
        turn.role = role_named(rows.text(2));
        turn.state = state_named(rows.text(3));
        turn.text = rows.text(4);
        turn.error = rows.text(5);
        turn.created = rows.number(kCreated);
        turn.flags = {.pinned = rows.number(kFlags) != 0,
                      .excluded = (rows.number(kFlags + 1) & kExcludedByUser) != 0,
                      .outside = (rows.number(kFlags + 1) & kOutsideWindow) != 0,
                      .removed = rows.number(kFlags + 2) != 0};
        if (turn.role != chat::Role::assistant) continue;
        read_answer(rows, parameters, turn);
        if (rows.is_null(kSystem)) continue;
        auto& system = systems[rows.number(kSystem)];
        if (!system) system = std::make_shared<const std::string>(rows.text(kSystem + 1));
        turn.system = system;
    }
    return turns;
}

void Shelf::load_files(int64_t conversation, std::vector<chat::Turn>& turns) {
    Statement rows = database_.prepare(
        "SELECT n.ordinal, p.text, p.meta_json FROM node n JOIN part p ON p.node_id = n.id "
        "WHERE n.conv_id = ? AND p.idx > 0 AND p.kind = 'file' ORDER BY n.ordinal, p.idx");
    rows.bind(conversation);
    while (rows.step()) {
        const auto ordinal = static_cast<size_t>(rows.number(0));
        if (ordinal == 0 || ordinal > turns.size()) continue;
        auto file = std::make_shared<chat::Attachment>(file_of(rows.text(2)));
        file->text = rows.text(1);
        turns[ordinal - 1].files.push_back(std::move(file));
    }
}

void Shelf::load_bookmarks(int64_t conversation, ConversationHead& head) {
    Statement rows = database_.prepare(
        "SELECT b.key, n.ordinal FROM bookmark b JOIN node n ON n.id = b.node_id "
        "WHERE b.conv_id = ?");
    rows.bind(conversation);
    while (rows.step())
        head.bookmarks.emplace(rows.text(0), static_cast<chat::TurnId>(rows.number(1)));
}

void Shelf::load_marks(int64_t conversation, std::vector<chat::Turn>& turns) {
    Statement rows = database_.prepare(
        "SELECT n.ordinal, e.seq, e.at_token, e.key, e.new FROM param_event e "
        "JOIN node n ON n.id = e.node_id WHERE n.conv_id = ? ORDER BY n.ordinal, e.seq, e.key");
    rows.bind(conversation);
    while (rows.step()) {
        const auto ordinal = static_cast<size_t>(rows.number(0));
        if (ordinal > turns.size()) continue;
        chat::Turn& turn = turns[ordinal - 1];
        const auto seq = static_cast<size_t>(rows.number(1));
        if (turn.marks.size() <= seq) {
            const auto at = static_cast<uint32_t>(rows.number(2));
            chat::ParameterMark mark{
                .change = {.at_token = at,
                           .sampling = turn.marks.empty() ? turn.sampling
                                                          : turn.marks.back().change.sampling},
                .text_bytes =
                    at < turn.text_offsets.size() ? turn.text_offsets[at] : turn.text.size()};
            turn.marks.push_back(std::move(mark));
        }
        set_sampling(turn.marks.back().change.sampling, rows.text(3), rows.text(4));
    }
}

}  // namespace core
