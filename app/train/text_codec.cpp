#include "app/train/text_codec.h"

#include <fstream>
#include <iterator>
#include <span>
#include <stdexcept>

namespace train {
namespace {

std::string escape_spaces(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        if (c == ' ') {
            escaped += core::kEscapedSpace;
        } else {
            escaped += c;
        }
    }
    return escaped;
}

size_t code_point_bytes(char first) {
    const auto byte = static_cast<unsigned char>(first);
    return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

}  // namespace

core::Vocabulary read_vocabulary(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error(path + ": cannot be opened");
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    return core::read_sentencepiece_model(std::as_bytes(std::span(bytes)), path);
}

TextCodec::TextCodec(core::Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {
    for (size_t i = 0; i < vocabulary_.pieces.size(); ++i) {
        ids_[vocabulary_.pieces[i]] = static_cast<int64_t>(i);
    }
}

int64_t TextCodec::id(std::string_view piece) const {
    const auto found = ids_.find(piece);
    if (found == ids_.end()) {
        throw std::runtime_error("vocabulary has no piece " + std::string(piece));
    }
    return found->second;
}

std::vector<int64_t> TextCodec::encode(std::string_view text) const {
    std::vector<int64_t> ids;
    size_t begin = 0;
    for (size_t at = 0; at < text.size();) {
        // The longest user-defined piece at this place; these never merge with their neighbours.
        size_t longest = 0;
        int64_t longest_id = 0;
        for (const auto& [piece, id] : ids_) {
            if (vocabulary_.kinds[static_cast<size_t>(id)] == core::PieceKind::user_defined &&
                piece.size() > longest && text.substr(at).starts_with(piece)) {
                longest = piece.size();
                longest_id = id;
            }
        }
        if (longest == 0) {
            ++at;
            continue;
        }
        append_merged(text.substr(begin, at - begin), ids);
        ids.push_back(longest_id);
        begin = at += longest;
    }
    append_merged(text.substr(begin), ids);
    return ids;
}

// Merges the adjacent pair that makes the piece with the highest score until none is left.
void TextCodec::append_merged(std::string_view text, std::vector<int64_t>& ids) const {
    const std::string escaped = escape_spaces(text);
    std::vector<std::string> symbols;
    for (size_t at = 0; at < escaped.size(); at += symbols.back().size()) {
        symbols.push_back(escaped.substr(at, code_point_bytes(escaped[at])));
    }
    while (true) {
        size_t best = symbols.size();
        float best_score = 0;
        for (size_t i = 0; i + 1 < symbols.size(); ++i) {
            const auto found = ids_.find(symbols[i] + symbols[i + 1]);
            if (found == ids_.end()) continue;
            const auto id = static_cast<size_t>(found->second);
            if (vocabulary_.kinds[id] != core::PieceKind::normal) continue;
            if (best < symbols.size() && vocabulary_.scores[id] <= best_score) continue;
            best = i;
            best_score = vocabulary_.scores[id];
        }
        if (best == symbols.size()) break;
        symbols[best] += symbols[best + 1];
        symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    for (const std::string& symbol : symbols) {
        if (const auto found = ids_.find(symbol); found != ids_.end()) {
            ids.push_back(found->second);
            continue;
        }
        for (const char c : symbol) {
            constexpr std::string_view kHex = "0123456789ABCDEF";
            const auto byte = static_cast<unsigned char>(c);
            ids.push_back(id(std::string("<0x") + kHex[byte >> 4] + kHex[byte & 15] + ">"));
        }
    }
}

std::string TextCodec::decode(const std::vector<int64_t>& ids) const {
    std::string text;
    for (const int64_t id : ids) {
        const auto at = static_cast<size_t>(id);
        if (vocabulary_.kinds[at] == core::PieceKind::byte) {
            text += static_cast<char>(*core::byte_of_piece(vocabulary_.pieces[at]));
        } else if (vocabulary_.kinds[at] != core::PieceKind::control) {
            text += vocabulary_.pieces[at];
        }
    }
    for (size_t at = text.find(core::kEscapedSpace); at != std::string::npos;
         at = text.find(core::kEscapedSpace, at + 1)) {
        text.replace(at, core::kEscapedSpace.size(), " ");
    }
    return text;
}

}  // namespace train
