#include "core/store/kept_lines.h"

#include <array>
#include <memory>
#include <span>
#include <string>

#include "core/store/codec.h"

namespace core {
namespace {

// Newer answers tell better how fast things are now.
constexpr const char* kReadingSpeed =
    "SELECT sum(tokens), sum(ms) FROM (SELECT u.recomputed_tok AS tokens, u.pp_ms AS ms "
    "FROM conversation c JOIN node n ON n.conv_id = c.id JOIN usage u ON u.node_id = n.id "
    "WHERE c.short_id = ? AND u.recomputed_tok > 0 ORDER BY n.ordinal DESC LIMIT 20)";
constexpr const char* kRestoreSpeed =
    "SELECT sum(bytes), sum(ms) FROM (SELECT restored_bytes AS bytes, restore_ms AS ms "
    "FROM usage WHERE restored_bytes > 0 ORDER BY node_id DESC LIMIT 20)";

// The name's 16 bytes, the high half first.
std::array<std::byte, 16> bytes_of(const Hash128& name) {
    std::array<std::byte, 16> bytes = {};
    for (size_t i = 0; i < 8; ++i) {
        bytes.at(i) = static_cast<std::byte>(name.high >> (56 - 8 * i));
        bytes.at(8 + i) = static_cast<std::byte>(name.low >> (56 - 8 * i));
    }
    return bytes;
}

Hash128 name_of(std::span<const std::byte> bytes) {
    Hash128 name;
    for (size_t i = 0; i < bytes.size() && i < 16; ++i) {
        uint64_t& half = i < 8 ? name.high : name.low;
        half = half << 8U | static_cast<uint64_t>(bytes[i]);
    }
    return name;
}

std::vector<std::byte> bytes_of(const std::vector<TokenId>& ids) {
    const std::vector<uint32_t> numbers(ids.begin(), ids.end());
    return encode_u32(numbers);
}

CachedLine read_line(const Statement& row) {
    CachedLine line{.root = name_of(row.blob(0)), .version = static_cast<uint32_t>(row.number(1))};
    for (const uint32_t id : decode_u32(row.blob(2)))
        line.ids.push_back(static_cast<TokenId>(id));
    return line;
}

double rate_of(const Statement& sums) {
    const double milliseconds = sums.real(1);
    return milliseconds > 0 ? sums.real(0) / milliseconds * 1e3 : 0;
}

}  // namespace

void KeptLines::keep(int64_t conversation, chat::TurnId answer, const CachedLine& line) {
    const auto root = bytes_of(line.root);
    const auto ids = bytes_of(line.ids);
    database_
        .prepare(
            "DELETE FROM kv_line WHERE root = ?2 AND length(ids) <= length(?3) "
            "AND substr(?3, 1, length(ids)) = ids "
            "AND node_id IN (SELECT id FROM node WHERE conv_id = ?1)")
        .bind(conversation)
        .bind(std::span<const std::byte>(root))
        .bind(std::span<const std::byte>(ids))
        .run();
    database_
        .prepare(
            "INSERT OR REPLACE INTO kv_line (node_id, root, version, ids) "
            "SELECT id, ?, ?, ? FROM node WHERE conv_id = ? AND ordinal = ?")
        .bind(std::span<const std::byte>(root))
        .bind(int64_t{line.version})
        .bind(std::span<const std::byte>(ids))
        .bind(conversation)
        .bind(int64_t{answer})
        .run();
}

std::vector<CachedLine> KeptLines::of(int64_t conversation) {
    Statement rows = database_.prepare(
        "SELECT k.root, k.version, k.ids FROM kv_line k JOIN node n ON n.id = k.node_id "
        "WHERE n.conv_id = ?");
    rows.bind(conversation);
    std::vector<CachedLine> lines;
    while (rows.step())
        lines.push_back(read_line(rows));
    return lines;
}

// Of the tip, or of the answer that its prompt follows; of another one nothing would be known but
// that it is similar. The newest, where several models answered under the same instructions.
void KeptLines::add_to(std::vector<ConversationHead>& heads) {
    const double bytes_per_second = restore_rate();
    for (ConversationHead& head : heads) {
        Statement row = database_.prepare(
            "SELECT k.root, k.version, k.ids FROM conversation c JOIN node t ON t.id = c.tip_node "
            "JOIN kv_line k ON k.node_id = t.id OR k.node_id = t.parent_id "
            "WHERE c.short_id = ? ORDER BY k.node_id = t.id DESC, k.id DESC LIMIT 1");
        if (!row.bind(head.id).step()) continue;
        head.line = std::make_shared<const ListedLine>(
            ListedLine{.line = read_line(row),
                       .tokens_per_second = reading_rate(head.id),
                       .bytes_per_second = bytes_per_second});
    }
}

double KeptLines::reading_rate(const std::string& conversation) {
    Statement sums = database_.prepare(kReadingSpeed);
    return sums.bind(conversation).step() ? rate_of(sums) : 0;
}

double KeptLines::restore_rate() {
    Statement sums = database_.prepare(kRestoreSpeed);
    return sums.step() ? rate_of(sums) : 0;
}

}  // namespace core
