// Text to token ids and back for sampling, straight from the SentencePiece model file.
// moxie's own tokenizer uses libsentencepiece, which cannot share a process with LibTorch (two
// protobuf runtimes), and sampling needs no more than the plain merge rule.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/vocabulary.h"

namespace train {

// Reads and checks a SentencePiece model file. Throws core::Error.
core::Vocabulary read_vocabulary(const std::string& path);

class TextCodec {
  public:
    explicit TextCodec(core::Vocabulary vocabulary);

    // No dummy prefix; `text` has its leading space where it needs one.
    std::vector<int64_t> encode(std::string_view text) const;
    std::string decode(const std::vector<int64_t>& ids) const;

    // The id of a piece; throws std::runtime_error when the vocabulary has no such piece.
    int64_t id(std::string_view piece) const;

  private:
    void append_merged(std::string_view text, std::vector<int64_t>& ids) const;

    core::Vocabulary vocabulary_;
    std::map<std::string, int64_t, std::less<>> ids_;
};

}  // namespace train
