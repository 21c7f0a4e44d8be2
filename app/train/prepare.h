// From JSON Lines to training data: the SentencePiece vocabulary and the token files.
// Hides the chat format, the mixture table and the rendering of each kind of record. Chat format:
// the built-in template of Grok-2 (`Human: ...<|separator|>\n\nAssistant: ...`), without BOS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <map>
#include <string>
#include <vector>

namespace train {

// How the records of one source are written as text.
enum class RecordForm {
    chat,      // with roles and separators; only assistant tokens carry full weight
    dialogue,  // plain lines "- text": both sides are people, so neither may speak as the assistant
    prose,
};

// One line of a mixture file: `<source prefix> <repeats> <form>`; the first matching line wins.
struct MixtureRule {
    std::string source_prefix;
    double repeats = 1.0;  // 0.25 takes a quarter of the records, 3 takes each one three times
    RecordForm form = RecordForm::prose;
};

// Throws std::runtime_error naming the line when a line does not parse. `#` starts a comment.
std::vector<MixtureRule> read_mixture(std::istream& input, const std::string& name);

struct VocabularyOptions {
    std::string model_prefix;  // writes <prefix>.model and <prefix>.vocab
    uint32_t size = 4096;
    uint32_t sample_every = 2;  // uses every n-th record, which is enough text for 4,096 pieces
};

// Trains a SentencePiece BPE vocabulary with the properties of Grok-1's (byte fallback, single
// digits, identity normalisation, white space kept) on the records of `records`. The model file
// itself adds no dummy prefix; `prepare` writes the one space of a text explicitly.
void train_vocabulary(std::istream& records, const VocabularyOptions& options);

struct PrepareOptions {
    std::string vocabulary;  // a .model file
    std::vector<MixtureRule> rules;
    std::string source_prefix = {};  // when not empty, only sources that start with it
    double system_share = 0.0;       // share of chats that get a system turn
    uint64_t seed = 1;
};

struct SourceCount {
    uint64_t records = 0;
    uint64_t tokens = 0;
    uint64_t bytes = 0;  // of the rendered text
};

// Tokens of every selected record in shuffled order, each record closed by [EOS]. The highest bit
// of a token (kLightToken of corpus.h) marks text that is not the assistant's. Counts go to
// `counts`.
std::vector<uint16_t> prepare_tokens(std::istream& records, const PrepareOptions& options,
                                     std::map<std::string, SourceCount>& counts);

}  // namespace train
