#include "core/text/sentencepiece.h"

#include <sentencepiece_processor.h>

#include <unordered_map>
#include <utility>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/text/piece_tokenizer.h"

namespace core {
namespace {

class SentencePieceMerger final : public Merger {
  public:
    SentencePieceMerger(const Vocabulary& vocabulary, std::string object);

    std::string write(std::string_view text) const override;
    void encode(std::string_view text, std::vector<TokenId>& ids) const override;

  private:
    std::string object_;
    sentencepiece::SentencePieceProcessor library_;
};

// The library gets normal, unused and byte pieces as they are. Everything else is matched before it
// or never, and becomes a control piece under a name that no text can spell. Unused pieces stay:
// they take part in merges and are split again.
SentencePieceMerger::SentencePieceMerger(const Vocabulary& vocabulary, std::string object)
    : object_(std::move(object)) {
    std::vector<std::string> pieces = vocabulary.pieces;
    std::vector<float> scores = vocabulary.scores;
    std::vector<PieceKind> kinds = vocabulary.kinds;
    std::unordered_map<std::string_view, size_t> first;
    for (size_t id = 0; id < pieces.size(); ++id)
        first.emplace(vocabulary.pieces[id], id);
    bool unknown = false;
    for (size_t id = 0; id < pieces.size(); ++id) {
        if (kinds[id] == PieceKind::normal || kinds[id] == PieceKind::byte) continue;
        // Only an unused piece may be empty or spelled like another one.
        const bool mergeable = kinds[id] == PieceKind::unused && !pieces[id].empty() &&
                               first.at(vocabulary.pieces[id]) == id;
        if (mergeable) continue;
        pieces[id] = "\xFF" + std::to_string(id);
        const bool first_unknown = kinds[id] == PieceKind::unknown && !unknown;
        kinds[id] = first_unknown ? PieceKind::unknown : PieceKind::control;
        unknown = unknown || first_unknown;
    }
    if (!unknown) {
        // The library insists on one. With all bytes present it never comes out.
        pieces.push_back("\xFF" + std::to_string(pieces.size()));
        kinds.push_back(PieceKind::unknown);
        scores.push_back(0);
    }
    const auto status =
        library_.LoadFromSerializedProto(write_sentencepiece_model(pieces, scores, kinds));
    if (!status.ok())
        throw Error(ErrorKind::model_unusable, object_,
                    "the SentencePiece library refuses the vocabulary: " + status.ToString());
}

std::string SentencePieceMerger::write(std::string_view text) const {
    std::string written;
    while (!text.empty()) {
        const CodePoint point = decode_utf8(text);
        if (!point.valid)
            append_utf8(written, kReplacementCharacter);
        else if (point.value == U' ')
            written += kEscapedSpace;
        else
            written += text.substr(0, point.length);
        // SentencePiece replaces each byte on its own.
        text.remove_prefix(point.valid ? point.length : 1);
    }
    return written;
}

void SentencePieceMerger::encode(std::string_view text, std::vector<TokenId>& ids) const {
    std::vector<int> part;
    const auto status = library_.Encode(text, &part);
    if (!status.ok())
        throw Error(ErrorKind::internal, object_, "cannot tokenize: " + status.ToString());
    ids.insert(ids.end(), part.begin(), part.end());
}

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece(Vocabulary vocabulary, const std::string& object) {
    auto merger = std::make_unique<SentencePieceMerger>(vocabulary, object);
    return make_piece_tokenizer(std::move(vocabulary), std::move(merger));
}

}  // namespace core
