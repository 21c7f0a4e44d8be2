// Finding conversations: by id, by title, by what was said.
#include <algorithm>
#include <utility>

#include "core/store/codec.h"
#include "core/store/shelf.h"

namespace core {
namespace {

// What is asked for stands between these, and means itself.
std::string escaped(const std::string& text, std::string_view special, char escape) {
    std::string out;
    for (const char c : text) {
        if (special.find(c) != std::string_view::npos || c == escape) out += escape;
        out += c;
    }
    return out;
}

std::string like_pattern(const std::string& part) {
    return "%" + escaped(part, "%_", '\\') + "%";
}

constexpr const char* kHeadColumns =
    "SELECT c.short_id, c.title, c.created, c.updated, c.params_json, c.pinned, "
    "c.deleted_at IS NOT NULL, s.text, m.name, m.path, m.arch, m.bytes, t.ordinal, c.archived, "
    "o.ordinal, oc.short_id "
    "FROM conversation c LEFT JOIN system_text s ON s.id = c.system_id "
    "LEFT JOIN model m ON m.id = c.model_id LEFT JOIN node t ON t.id = c.tip_node "
    "LEFT JOIN node o ON o.id = c.forked_from_node "
    "LEFT JOIN conversation oc ON oc.id = o.conv_id ";

ConversationHead read_head(const Statement& row) {
    const auto params = read_params_json(row.text(4));
    const auto fixed = params.find(std::string(kFixedSeed));
    const auto stop = params.find(std::string(kStop));
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
            .stop = stop == params.end() ? std::vector<std::string>() : texts_of(stop->second),
            .tip = static_cast<chat::TurnId>(row.number(12)),
            .pinned = row.number(5) != 0,
            .archived = row.number(13) != 0,
            .deleted = row.number(6) != 0,
            .origin = {.conversation = std::string(row.text(15)),
                       .turn = static_cast<chat::TurnId>(row.number(14))}};
}

// Each word as it is, all of them wanted, the last one as a beginning.
std::string match_expression(std::string_view text) {
    std::string expression;
    for (size_t at = 0; at < text.size();) {
        const size_t begin = text.find_first_not_of(" \t\n", at);
        if (begin == std::string_view::npos) break;
        at = std::min(text.find_first_of(" \t\n", begin), text.size());
        expression += (expression.empty() ? "\"" : " \"") +
                      escaped(std::string(text.substr(begin, at - begin)), "", '"') + "\"";
    }
    return expression.empty() ? expression : expression + "*";
}

}  // namespace

// --- one --------------------------------------------------------------------------------------

int64_t Shelf::find(const std::string& prefix) {
    if (prefix.empty()) {
        Statement last = database_.prepare(
            "SELECT id FROM conversation WHERE deleted_at IS NULL ORDER BY updated DESC, id DESC "
            "LIMIT 1");
        if (last.step()) return last.number(0);
        throw DatabaseError(StoreTrouble::not_found, "", "there is no conversation yet");
    }
    const auto matches = [this](const char* sql, const std::string& pattern) {
        Statement rows = database_.prepare(sql);
        rows.bind(pattern);
        std::vector<std::pair<int64_t, std::string>> found;
        while (rows.step())
            found.emplace_back(rows.number(0), rows.text(1));
        return found;
    };
    auto found = matches(
        "SELECT id, short_id FROM conversation WHERE short_id LIKE ? ESCAPE '\\' AND deleted_at "
        "IS NULL ORDER BY updated DESC",
        escaped(prefix, "%_", '\\') + "%");
    for (const auto& [row, id] : found)
        if (id.size() == prefix.size()) return row;
    std::string_view what = "ids that begin with ";
    if (found.empty()) {
        found = matches(
            "SELECT id, short_id || ' \"' || title || '\"' FROM conversation WHERE title LIKE ? "
            "ESCAPE '\\' AND deleted_at IS NULL ORDER BY updated DESC",
            like_pattern(prefix));
        what = "titles with ";
    }
    if (found.empty())
        throw DatabaseError(StoreTrouble::not_found, "",
                            "no conversation has the id " + prefix + ", or a title with it");
    if (found.size() == 1) return found.front().first;
    std::string names;
    for (size_t i = 0; i < std::min<size_t>(found.size(), 5); ++i)
        names += (names.empty() ? "" : ", ") + found[i].second;
    throw DatabaseError(
        StoreTrouble::ambiguous, "",
        std::to_string(found.size()) + " conversations have " + std::string(what) + prefix, names);
}

int64_t Shelf::exact(const std::string& id) {
    Statement row = database_.prepare("SELECT id FROM conversation WHERE short_id = ?");
    if (row.bind(id).step()) return row.number(0);
    throw DatabaseError(StoreTrouble::not_found, "", "no conversation has the id " + id);
}

int64_t Shelf::last_deleted() {
    Statement row = database_.prepare(
        "SELECT id FROM conversation WHERE deleted_at IS NOT NULL ORDER BY deleted_at DESC, id "
        "DESC LIMIT 1");
    if (row.step()) return row.number(0);
    throw DatabaseError(StoreTrouble::not_found, "", "the trash is empty");
}

std::vector<int64_t> Shelf::deleted_before(int64_t time) {
    Statement rows = database_.prepare("SELECT id FROM conversation WHERE deleted_at < ?");
    rows.bind(time);
    std::vector<int64_t> found;
    while (rows.step())
        found.push_back(rows.number(0));
    return found;
}

ConversationHead Shelf::head(int64_t conversation) {
    static const std::string sql = std::string(kHeadColumns) + "WHERE c.id = ?";
    Statement row = database_.prepare(sql.c_str());
    if (row.bind(conversation).step()) return read_head(row);
    throw DatabaseError(StoreTrouble::not_found, "", "the conversation is gone");
}

// --- many -------------------------------------------------------------------------------------

std::vector<ConversationHead> Shelf::list(const ListConversations& wanted) {
    static const std::string sql = std::string(kHeadColumns) +
                                   "WHERE (c.deleted_at IS NOT NULL) = ? AND (? OR c.archived = ?) "
                                   "AND c.title LIKE ? ESCAPE '\\' "
                                   "ORDER BY c.pinned DESC, c.updated DESC, c.id DESC LIMIT ?";
    const bool deleted = wanted.kind == ListKind::deleted;
    const std::string pattern = like_pattern(wanted.filter);
    std::vector<ConversationHead> heads;
    {
        Statement rows = database_.prepare(sql.c_str());
        rows.bind(int64_t{deleted}).bind(int64_t{deleted});
        rows.bind(int64_t{wanted.kind == ListKind::archived});
        rows.bind(pattern).bind(int64_t{wanted.limit});
        while (rows.step())
            heads.push_back(read_head(rows));
    }
    for (ConversationHead& head : heads) {
        Statement counts = database_.prepare(
            "SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (SELECT 1 FROM node k WHERE "
            "k.parent_id = n.id)), sum(t.n) FROM node n JOIN conversation c ON c.id = n.conv_id "
            "LEFT JOIN token t ON t.node_id = n.id WHERE c.short_id = ? AND n.removed = 0");
        counts.bind(head.id).step();
        head.turns = static_cast<uint32_t>(counts.number(0));
        head.branches = static_cast<uint32_t>(counts.number(1));
        head.tokens = static_cast<uint64_t>(counts.number(2));
    }
    return heads;
}

// The newest first is the order of the index, so that no more is read than shown.
std::vector<SearchHit> Shelf::search(const SearchTurns& wanted) {
    const std::string expression = match_expression(wanted.text);
    std::vector<SearchHit> hits;
    if (expression.empty()) return hits;
    Statement rows = database_.prepare(
        "SELECT c.short_id, c.title, n.ordinal, n.role, n.created, "
        "snippet(node_fts, 0, '[', ']', '…', 12) "
        "FROM node_fts f JOIN part p ON p.id = f.rowid JOIN node n ON n.id = p.node_id "
        "JOIN conversation c ON c.id = n.conv_id LEFT JOIN model m ON m.id = n.author_model_id "
        "WHERE node_fts MATCH ?1 AND c.deleted_at IS NULL AND n.removed = 0 "
        "AND (?2 = '' OR c.short_id = ?2) AND (?3 = '' OR n.role = ?3) "
        "AND (?4 = '' OR m.name = ?4) ORDER BY f.rowid DESC LIMIT ?5");
    const std::string_view role = wanted.role ? name_of(*wanted.role) : std::string_view();
    rows.bind(expression).bind(wanted.conversation).bind(role).bind(wanted.model);
    rows.bind(int64_t{wanted.limit});
    while (rows.step())
        hits.push_back({.conversation = std::string(rows.text(0)),
                        .title = std::string(rows.text(1)),
                        .turn = static_cast<chat::TurnId>(rows.number(2)),
                        .role = role_named(rows.text(3)),
                        .created = rows.number(4),
                        .snippet = std::string(rows.text(5))});
    return hits;
}

}  // namespace core
