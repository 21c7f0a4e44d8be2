// Rows to values: the reading half of Shelf.
#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "core/store/codec.h"
#include "core/store/shelf.h"

namespace core {
namespace {

// What the text grew by with each token stands for its bytes.
void set_tokens(chat::Turn& turn, const std::vector<uint32_t>& ids) {
    std::vector<uint32_t>& offsets = turn.text_offsets;
    offsets.resize(ids.size(), static_cast<uint32_t>(turn.text.size()));
    for (size_t i = 0; i < ids.size(); ++i) {
        const size_t begin = std::min<size_t>(offsets[i], turn.text.size());
        const size_t end = i + 1 < ids.size()
                               ? std::clamp<size_t>(offsets[i + 1], begin, turn.text.size())
                               : turn.text.size();
        turn.tokens.push_back(
            {.id = static_cast<TokenId>(ids[i]), .bytes = turn.text.substr(begin, end - begin)});
    }
}

std::string escaped_for_glob(const std::string& prefix) {
    std::string out;
    for (const char c : prefix) {
        const bool special = c == '*' || c == '?' || c == '[';
        out += special ? std::string{'[', c, ']'} : std::string{c};
    }
    return out;
}

}  // namespace

int64_t Shelf::find(const std::string& prefix) {
    if (prefix.empty()) {
        Statement last = database_.prepare(
            "SELECT id FROM conversation WHERE deleted_at IS NULL ORDER BY updated DESC, id DESC "
            "LIMIT 1");
        if (last.step()) return last.number(0);
        throw DatabaseError(StoreTrouble::not_found, "", "there is no conversation yet");
    }
    const std::string pattern = escaped_for_glob(prefix) + "*";
    Statement rows = database_.prepare(
        "SELECT id, short_id FROM conversation WHERE short_id GLOB ? AND deleted_at IS NULL "
        "ORDER BY updated DESC");
    rows.bind(pattern);
    std::vector<int64_t> found;
    std::string names;
    while (rows.step()) {
        if (rows.text(1) == prefix) return rows.number(0);
        found.push_back(rows.number(0));
        if (found.size() <= 5) names += (names.empty() ? "" : ", ") + std::string(rows.text(1));
    }
    if (found.empty())
        throw DatabaseError(StoreTrouble::not_found, "", "no conversation has the id " + prefix);
    if (found.size() > 1)
        throw DatabaseError(
            StoreTrouble::ambiguous, "",
            std::to_string(found.size()) + " conversations have ids that begin with " + prefix,
            names);
    return found.front();
}

int64_t Shelf::exact(const std::string& id) {
    Statement row = database_.prepare("SELECT id FROM conversation WHERE short_id = ?");
    if (row.bind(id).step()) return row.number(0);
    throw DatabaseError(StoreTrouble::not_found, "", "no conversation has the id " + id);
}

namespace {

constexpr const char* kHeadColumns =
    "SELECT c.short_id, c.title, c.created, c.updated, c.params_json, c.pinned, "
    "c.deleted_at IS NOT NULL, s.text, m.name, m.path, m.arch, m.bytes, t.ordinal, "
    "(SELECT count(*) FROM node WHERE conv_id = c.id) "
    "FROM conversation c LEFT JOIN system_text s ON s.id = c.system_id "
    "LEFT JOIN model m ON m.id = c.model_id LEFT JOIN node t ON t.id = c.tip_node ";

}  // namespace

ConversationHead Shelf::read_head(const Statement& row) {
    const auto params = read_params_json(row.text(4));
    const auto fixed = params.find(std::string(kFixedSeed));
    return {.id = std::string(row.text(0)),
            .title = std::string(row.text(1)),
            .created = row.number(2),
            .updated = row.number(3),
            .model = {.name = std::string(row.text(8)),
                      .path = std::string(row.text(9)),
                      .family = std::string(row.text(10)),
                      .bytes = static_cast<uint64_t>(row.number(11))},
            .system = std::string(row.text(7)),
            .sampling = sampling_of(params),
            .fixed_seed = fixed != params.end() && fixed->second == "true",
            .tip = static_cast<chat::TurnId>(row.number(12)),
            .turns = static_cast<uint32_t>(row.number(13)),
            .pinned = row.number(5) != 0,
            .deleted = row.number(6) != 0};
}

std::vector<ConversationHead> Shelf::list(uint32_t limit) {
    static const std::string sql =
        std::string(kHeadColumns) +
        "WHERE c.deleted_at IS NULL ORDER BY c.pinned DESC, c.updated DESC, c.id DESC LIMIT ?";
    Statement rows = database_.prepare(sql.c_str());
    rows.bind(int64_t{limit});
    std::vector<ConversationHead> heads;
    while (rows.step())
        heads.push_back(read_head(rows));
    return heads;
}

StoredConversation Shelf::load(int64_t conversation) {
    static const std::string head_sql = std::string(kHeadColumns) + "WHERE c.id = ?";
    StoredConversation stored;
    {
        Statement head = database_.prepare(head_sql.c_str());
        if (!head.bind(conversation).step())
            throw DatabaseError(StoreTrouble::not_found, "", "the conversation is gone");
        stored.head = read_head(head);
    }
    std::vector<chat::Turn> turns = load_turns(conversation);
    load_marks(conversation, turns);
    stored.conversation = chat::Conversation(std::move(turns), stored.head.tip, stored.head.system);
    return stored;
}

namespace {

constexpr const char* kTurns =
    "SELECT n.ordinal, p.ordinal, n.role, n.state, t.text, n.error, m.name, n.params_json, "
    "n.seed, n.finish_reason, k.ids, k.text_offsets, u.prompt_tok, u.cached_tok, "
    "u.restored_tok, u.recomputed_tok, u.gen_tok, u.restored_bytes, u.restore_ms, u.pp_ms, "
    "u.tg_ms, u.ttft_ms, n.system_id, s.text "
    "FROM node n LEFT JOIN node p ON p.id = n.parent_id "
    "LEFT JOIN part t ON t.node_id = n.id AND t.idx = 0 "
    "LEFT JOIN model m ON m.id = n.author_model_id "
    "LEFT JOIN system_text s ON s.id = n.system_id "
    "LEFT JOIN token k ON k.node_id = n.id LEFT JOIN usage u ON u.node_id = n.id "
    "WHERE n.conv_id = ? ORDER BY n.ordinal";
constexpr int kFirstOfUsage = 12;
constexpr int kSystem = 22;

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

void read_answer(const Statement& row, chat::Turn& turn) {
    turn.model = row.text(6);
    turn.sampling = sampling_of(read_params_json(row.text(7)));
    turn.seed = static_cast<uint64_t>(row.number(8));
    turn.reason = reason_named(row.text(9));
    turn.cut_off = row.text(9) == kCutOff;
    // Another process may be writing it, or this database could not be repaired.
    if (turn.state == chat::TurnState::streaming) {
        turn.state = chat::TurnState::interrupted;
        turn.cut_off = true;
    }
    turn.text_offsets = decode_u32(row.blob(11));
    set_tokens(turn, decode_u32(row.blob(10)));
    turn.usage = read_usage(row);
}

}  // namespace

std::vector<chat::Turn> Shelf::load_turns(int64_t conversation) {
    std::vector<chat::Turn> turns;
    // Answers given under the same instructions share one copy of them.
    std::map<int64_t, std::shared_ptr<const std::string>> systems;
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
        if (turn.role != chat::Role::assistant) continue;
        read_answer(rows, turn);
        if (rows.is_null(kSystem)) continue;
        auto& system = systems[rows.number(kSystem)];
        if (!system) system = std::make_shared<const std::string>(rows.text(kSystem + 1));
        turn.system = system;
    }
    return turns;
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
