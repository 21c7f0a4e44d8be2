#include "core/store/shelf.h"

#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <random>
#include <utility>

#include "core/store/codec.h"

namespace core {
namespace {

int64_t now_ms() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// Whole microseconds, so that what was read back is written as it was.
double milliseconds(double seconds) {
    return std::round(seconds * 1e6) / 1e3;
}

std::string hex(uint32_t value, int digits) {
    std::array<char, 16> text = {};
    std::snprintf(text.data(), text.size(), "%0*x", digits, value);
    return text.data();
}

std::vector<uint32_t> ids_of(const chat::Turn& turn) {
    std::vector<uint32_t> ids;
    ids.reserve(turn.tokens.size());
    for (const TokenId token : turn.tokens)
        ids.push_back(static_cast<uint32_t>(token));
    return ids;
}

}  // namespace

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

bool Shelf::is_taken(const std::string& id) {
    return database_.prepare("SELECT 1 FROM conversation WHERE short_id = ?").bind(id).step();
}

// Short, and never given twice while the conversation is there: the shortest length at which a few
// random tries find a free one.
std::string Shelf::free_short_id() {
    std::random_device random;
    for (int digits = 4; digits < 8; ++digits)
        for (int attempt = 0; attempt < 8; ++attempt) {
            const uint32_t value = random() & ((uint32_t{1} << (4 * digits)) - 1);
            std::string id = hex(value, digits);
            if (!is_taken(id)) return id;
        }
    return hex(random(), 8) + hex(random(), 8);
}

int64_t Shelf::create(const ConversationHead& head) {
    const std::string id = free_short_id();
    const int64_t now = now_ms();
    database_
        .prepare(
            "INSERT INTO conversation (short_id, title, created, updated, forked_from_node) "
            "VALUES (?, ?, ?, ?, (SELECT n.id FROM node n JOIN conversation c ON c.id = n.conv_id "
            "WHERE c.short_id = ? AND n.ordinal = ?))")
        .bind(id)
        .bind(head.title)
        .bind(now)
        .bind(now)
        .bind(head.origin.conversation)
        .bind(int64_t{head.origin.turn})
        .run();
    return database_.last_row();
}

int64_t Shelf::create_copy(const StoredConversation& stored) {
    const ConversationHead& head = stored.head;
    const bool own = head.id.size() >= 4 && !is_taken(head.id);
    const int64_t row = create(head);
    std::vector<chat::Turn> turns;
    for (chat::TurnId id = 1; id <= stored.conversation.size(); ++id)
        turns.push_back(stored.conversation.turn(id));
    save(row, head, turns);
    database_
        .prepare(
            "UPDATE conversation SET short_id = CASE WHEN ? THEN ? ELSE short_id END, created = ?, "
            "updated = ?, pinned = ?, archived = ? WHERE id = ?")
        .bind(int64_t{own})
        .bind(head.id)
        .bind(head.created)
        .bind(head.updated)
        .bind(int64_t{head.pinned})
        .bind(int64_t{head.archived})
        .bind(row)
        .run();
    for (const auto& [key, turn] : head.bookmarks)
        if (turn <= turns.size()) set_bookmark(row, key, turn);
    return row;
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
    std::map<std::string, std::string> more;
    if (!turn.format.empty()) more.emplace(kTemplate, turn.format);
    const std::string params = params_json(turn.sampling, more);
    {
        Statement node = database_.prepare(
            "INSERT INTO node (conv_id, ordinal, parent_id, role, state, created, "
            "author_model_id, system_id, params_json, seed, rng_counter, finish_reason, error, "
            "pinned, excluded, removed) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (conv_id, ordinal) DO UPDATE SET state = excluded.state, "
            "seed = excluded.seed, finish_reason = excluded.finish_reason, "
            "error = excluded.error WHERE node.state = 'streaming'");
        node.bind(conversation).bind(int64_t{turn.id}).bind_reference(parent);
        node.bind(name_of(turn.role)).bind(name_of(turn.state));
        node.bind(turn.created != 0 ? turn.created : now_ms());
        node.bind_reference(author_row).bind_reference(system);
        if (answer) {
            node.bind(params).bind(static_cast<int64_t>(turn.seed)).bind(int64_t{turn.choice});
            node.bind(turn.cut_off ? kCutOff : name_of(turn.reason));
        } else {
            node.bind_null().bind_null().bind_null().bind_null();
        }
        node.bind(turn.error).bind(int64_t{turn.flags.pinned});
        node.bind(excluded_number(turn.flags)).bind(int64_t{turn.flags.removed}).run();
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
    save_files(node, turn.files);
}

// They follow the text, which is part 0.
void Shelf::save_files(int64_t node, const chat::Attachments& files) {
    for (size_t i = 0; i < files.size(); ++i) {
        const std::string meta = file_json(*files[i]);
        database_
            .prepare(
                "INSERT INTO part (node_id, idx, kind, text, meta_json, searchable) "
                "VALUES (?, ?, 'file', ?, ?, 1) ON CONFLICT (node_id, idx) DO NOTHING")
            .bind(node)
            .bind(static_cast<int64_t>(i + 1))
            .bind(files[i]->text)
            .bind(meta)
            .run();
    }
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
        .bind(milliseconds(usage.restore_seconds))
        .bind(milliseconds(usage.prefill_seconds))
        .bind(milliseconds(usage.decode_seconds))
        .bind(milliseconds(usage.first_token_seconds))
        .run();
}

void Shelf::save_head(int64_t conversation, const ConversationHead& head) {
    std::map<std::string, std::string> more = {
        {std::string(kFixedSeed), head.fixed_seed ? "true" : "false"}};
    if (!head.stop.empty()) more.emplace(kStop, texts_json(head.stop));
    const std::string params = params_json(head.sampling, more);
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

void Shelf::change(int64_t conversation, const ChangeConversation& wanted) {
    const auto set = [&](const char* sql, const auto& value) {
        if (value) database_.prepare(sql).bind(*value).bind(conversation).run();
    };
    const auto number = [](const std::optional<bool>& value) {
        return value ? std::optional<int64_t>(*value) : std::nullopt;
    };
    set("UPDATE conversation SET title = ? WHERE id = ?", wanted.title);
    set("UPDATE conversation SET pinned = ? WHERE id = ?", number(wanted.pinned));
    set("UPDATE conversation SET archived = ? WHERE id = ?", number(wanted.archived));
}

void Shelf::set_flags(int64_t conversation, chat::TurnId turn, chat::TurnFlags flags) {
    database_
        .prepare(
            "UPDATE node SET pinned = ?, excluded = ?, removed = ? WHERE conv_id = ? AND "
            "ordinal = ?")
        .bind(int64_t{flags.pinned})
        .bind(excluded_number(flags))
        .bind(int64_t{flags.removed})
        .bind(conversation)
        .bind(int64_t{turn})
        .run();
    if (database_.changes() == 0)
        throw DatabaseError(StoreTrouble::not_found, "", "the message is not saved");
}

void Shelf::set_bookmark(int64_t conversation, const std::string& key, chat::TurnId turn) {
    const int64_t node = node_row(conversation, turn);
    if (node == 0) throw DatabaseError(StoreTrouble::not_found, "", "the message is not saved");
    database_.prepare("INSERT OR REPLACE INTO bookmark (conv_id, key, node_id) VALUES (?, ?, ?)")
        .bind(conversation)
        .bind(key)
        .bind(node)
        .run();
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
