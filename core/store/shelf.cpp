#include "core/store/shelf.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <map>
#include <random>
#include <utility>

#include "core/store/codec.h"

namespace core {
namespace {

constexpr std::string_view kFixedSeed = "fixed_seed";
constexpr std::string_view kCutOff = "cut_off";  // beside the names of FinishReason

int64_t now_ms() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

std::string hex(uint32_t value, int digits) {
    std::array<char, 16> text = {};
    std::snprintf(text.data(), text.size(), "%0*x", digits, value);
    return text.data();
}

std::vector<uint32_t> ids_of(const chat::Turn& turn) {
    std::vector<uint32_t> ids;
    ids.reserve(turn.tokens.size());
    for (const chat::Token& token : turn.tokens)
        ids.push_back(static_cast<uint32_t>(token.id));
    return ids;
}

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

// --- writing ----------------------------------------------------------------------------------

int64_t Shelf::model_row(const StoredModel& model) {
    if (model.name.empty()) return 0;
    database_
        .prepare(
            "INSERT INTO model (name, path, arch, bytes, last_ok) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (name, path) DO UPDATE SET arch = excluded.arch, "
            "bytes = excluded.bytes, last_ok = excluded.last_ok "
            "WHERE arch IS NOT excluded.arch OR bytes IS NOT excluded.bytes")
        .bind(model.name)
        .bind(model.path)
        .bind(model.family)
        .bind(static_cast<int64_t>(model.bytes))
        .bind(now_ms())
        .run();
    Statement row = database_.prepare("SELECT id FROM model WHERE name = ? AND path = ?");
    row.bind(model.name).bind(model.path).step();
    return row.number(0);
}

int64_t Shelf::system_row(const std::string& text) {
    if (text.empty()) return 0;
    database_.prepare("INSERT INTO system_text (text) VALUES (?) ON CONFLICT DO NOTHING")
        .bind(text)
        .run();
    Statement row = database_.prepare("SELECT id FROM system_text WHERE text = ?");
    row.bind(text).step();
    return row.number(0);
}

// Short, and never given twice while the conversation is there: the shortest length at which a few
// random tries find a free one.
std::string Shelf::free_short_id() {
    std::random_device random;
    for (int digits = 4; digits < 8; ++digits)
        for (int attempt = 0; attempt < 8; ++attempt) {
            const uint32_t value = random() & ((uint32_t{1} << (4 * digits)) - 1);
            std::string id = hex(value, digits);
            Statement taken = database_.prepare("SELECT 1 FROM conversation WHERE short_id = ?");
            if (!taken.bind(id).step()) return id;
        }
    return hex(random(), 8) + hex(random(), 8);
}

int64_t Shelf::create(const ConversationHead& head) {
    const std::string id = free_short_id();
    const int64_t now = now_ms();
    database_
        .prepare(
            "INSERT INTO conversation (short_id, title, created, updated) "
            "VALUES (?, ?, ?, ?)")
        .bind(id)
        .bind(head.title)
        .bind(now)
        .bind(now)
        .run();
    return database_.last_row();
}

std::string Shelf::short_id(int64_t conversation) {
    Statement row = database_.prepare("SELECT short_id FROM conversation WHERE id = ?");
    return row.bind(conversation).step() ? std::string(row.text(0)) : std::string();
}

int64_t Shelf::node_row(int64_t conversation, chat::TurnId turn) {
    if (turn == 0) return 0;
    Statement row = database_.prepare("SELECT id FROM node WHERE conv_id = ? AND ordinal = ?");
    return row.bind(conversation).bind(int64_t{turn}).step() ? row.number(0) : 0;
}

void Shelf::save(int64_t conversation, const ConversationHead& head,
                 const std::vector<chat::Turn>& turns) {
    for (const chat::Turn& turn : turns)
        save_turn(conversation, head.model, turn);
    save_head(conversation, head);
}

void Shelf::save_turn(int64_t conversation, const StoredModel& in_use, const chat::Turn& turn) {
    const bool answer = turn.role == chat::Role::assistant;
    const bool finished = turn.state != chat::TurnState::streaming;
    // An answer's model is the one in use, or one before whose file is not known here any more.
    const StoredModel author = turn.model == in_use.name ? in_use : StoredModel{.name = turn.model};
    const int64_t author_row = answer ? model_row(author) : 0;
    const int64_t parent = node_row(conversation, turn.parent);
    const int64_t system = answer ? system_row(*turn.system) : 0;
    const std::string params = params_json(turn.sampling);
    {
        Statement node = database_.prepare(
            "INSERT INTO node (conv_id, ordinal, parent_id, role, state, created, "
            "author_model_id, system_id, params_json, seed, finish_reason, error) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (conv_id, ordinal) DO UPDATE SET state = excluded.state, "
            "seed = excluded.seed, finish_reason = excluded.finish_reason, "
            "error = excluded.error WHERE node.state = 'streaming'");
        node.bind(conversation).bind(int64_t{turn.id}).bind_reference(parent);
        node.bind(name_of(turn.role)).bind(name_of(turn.state)).bind(now_ms());
        node.bind_reference(author_row).bind_reference(system);
        if (answer) {
            node.bind(params).bind(static_cast<int64_t>(turn.seed));
            node.bind(turn.cut_off ? kCutOff : name_of(turn.reason));
        } else {
            node.bind_null().bind_null().bind_null();
        }
        node.bind(turn.error).run();
    }
    if (database_.changes() == 0) return;  // finished before
    const int64_t node = node_row(conversation, turn.id);
    database_
        .prepare(
            "INSERT INTO part (node_id, idx, kind, text, searchable) "
            "VALUES (?, 0, 'text', ?, ?) ON CONFLICT (node_id, idx) DO UPDATE SET "
            "text = excluded.text, searchable = excluded.searchable")
        .bind(node)
        .bind(turn.text)
        .bind(int64_t{finished})
        .run();
    if (answer) save_answer(node, turn);
}

void Shelf::save_answer(int64_t node, const chat::Turn& turn) {
    const std::vector<std::byte> ids = encode_u32(ids_of(turn));
    const std::vector<std::byte> offsets = encode_u32(turn.text_offsets);
    database_
        .prepare(
            "INSERT INTO token (node_id, n, ids, text_offsets) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (node_id) DO UPDATE SET n = excluded.n, ids = excluded.ids, "
            "text_offsets = excluded.text_offsets")
        .bind(node)
        .bind(static_cast<int64_t>(turn.tokens.size()))
        .bind(std::span<const std::byte>(ids))
        .bind(std::span<const std::byte>(offsets))
        .run();
    save_marks(node, turn);
    if (turn.state != chat::TurnState::streaming) save_usage(node, turn.usage);
}

// One row for every parameter that a change changed.
void Shelf::save_marks(int64_t node, const chat::Turn& turn) {
    std::map<std::string, std::string> before = sampling_texts(turn.sampling);
    for (size_t seq = 0; seq < turn.marks.size(); ++seq) {
        const chat::SamplingChange& change = turn.marks[seq].change;
        std::map<std::string, std::string> after = sampling_texts(change.sampling);
        for (const auto& [key, value] : after) {
            if (before[key] == value) continue;
            database_
                .prepare(
                    "INSERT INTO param_event (node_id, seq, at_token, key, old, new) "
                    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")
                .bind(node)
                .bind(static_cast<int64_t>(seq))
                .bind(int64_t{change.at_token})
                .bind(key)
                .bind(before[key])
                .bind(value)
                .run();
        }
        before = std::move(after);
    }
}

void Shelf::save_usage(int64_t node, const chat::Usage& usage) {
    database_
        .prepare(
            "INSERT OR REPLACE INTO usage (node_id, prompt_tok, cached_tok, restored_tok, "
            "recomputed_tok, gen_tok, restored_bytes, restore_ms, pp_ms, tg_ms, ttft_ms) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(node)
        .bind(int64_t{usage.prompt})
        .bind(int64_t{usage.reused})
        .bind(int64_t{usage.restored})
        .bind(int64_t{usage.recomputed})
        .bind(int64_t{usage.generated})
        .bind(static_cast<int64_t>(usage.restored_bytes))
        .bind(usage.restore_seconds * 1e3)
        .bind(usage.prefill_seconds * 1e3)
        .bind(usage.decode_seconds * 1e3)
        .bind(usage.first_token_seconds * 1e3)
        .run();
}

void Shelf::save_head(int64_t conversation, const ConversationHead& head) {
    const std::string params =
        params_json(head.sampling, {{std::string(kFixedSeed), head.fixed_seed ? "true" : "false"}});
    database_
        .prepare(
            "UPDATE conversation SET title = ?, updated = ?, tip_node = ?, root_node = ?, "
            "model_id = coalesce(?, model_id), system_id = ?, params_json = ? WHERE id = ?")
        .bind(head.title)
        .bind(now_ms())
        .bind_reference(node_row(conversation, head.tip))
        .bind_reference(node_row(conversation, 1))
        .bind_reference(model_row(head.model))
        .bind_reference(system_row(head.system))
        .bind(params)
        .bind(conversation)
        .run();
}

// --- reading ----------------------------------------------------------------------------------

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
    static const std::string kSql =
        std::string(kHeadColumns) +
        "WHERE c.deleted_at IS NULL ORDER BY c.pinned DESC, c.updated DESC, c.id DESC LIMIT ?";
    Statement rows = database_.prepare(kSql.c_str());
    rows.bind(int64_t{limit});
    std::vector<ConversationHead> heads;
    while (rows.step())
        heads.push_back(read_head(rows));
    return heads;
}

StoredConversation Shelf::load(int64_t conversation) {
    static const std::string kHeadSql = std::string(kHeadColumns) + "WHERE c.id = ?";
    StoredConversation stored;
    {
        Statement head = database_.prepare(kHeadSql.c_str());
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

// --- removing ---------------------------------------------------------------------------------

void Shelf::set_deleted(int64_t conversation, bool deleted) {
    Statement update = database_.prepare("UPDATE conversation SET deleted_at = ? WHERE id = ?");
    update.bind_reference(deleted ? now_ms() : 0);
    update.bind(conversation).run();
}

// Instructions and attachments go with the last conversation that has them. What FTS5 has marked as
// deleted is still in its segments until they are merged.
void Shelf::purge(int64_t conversation) {
    database_.prepare("UPDATE conversation SET tip_node = NULL, root_node = NULL WHERE id = ?")
        .bind(conversation)
        .run();
    database_.prepare("DELETE FROM node WHERE conv_id = ?").bind(conversation).run();
    database_.prepare("DELETE FROM conversation WHERE id = ?").bind(conversation).run();
    database_.run(
        "DELETE FROM system_text WHERE id NOT IN (SELECT system_id FROM node WHERE system_id IS "
        "NOT NULL) AND id NOT IN (SELECT system_id FROM conversation WHERE system_id IS NOT "
        "NULL)");
    database_.run(
        "DELETE FROM attachment WHERE id NOT IN (SELECT attachment_id FROM part_attachment)");
    database_.run("INSERT INTO node_fts (node_fts) VALUES ('optimize')");
}

void Shelf::mark_cut_off() {
    database_.run(
        "UPDATE part SET searchable = 1 WHERE searchable = 0 AND node_id IN (SELECT id FROM node "
        "WHERE state = 'streaming');"
        "UPDATE node SET state = 'interrupted', finish_reason = 'cut_off' WHERE state = "
        "'streaming'");
}

}  // namespace core
