#include <utility>

#include "core/formats/gguf.h"
#include "core/text/bpe.h"
#include "core/text/sentencepiece.h"
#include "core/text/tokenizer.h"
#include "core/text/vocabulary.h"
#include "tests/core/formats/gguf_bytes.h"
#include "tests/fuzz/targets.h"

namespace fuzz {
namespace {

// Text with blanks, digits, several scripts, an invalid byte and a special-shaped piece.
constexpr std::string_view kText =
    "Hello  world's 3.14\n\n\xC3\xA4\xE4\xB8\x96\xF0\x9F\x8C\x8D\xFF"
    "<|im_end|></s>";

void use(const core::Tokenizer& tokenizer) {
    for (const bool specials : {false, true}) {
        for (const core::TokenId id : tokenizer.encode(kText, specials)) {
            if (id < 0 || static_cast<uint32_t>(id) >= tokenizer.size()) __builtin_trap();
            keep(tokenizer.bytes(id).size());
        }
    }
    keep(tokenizer.never_sampled(tokenizer.size()).size() + tokenizer.end_of_generation().size());
}

}  // namespace

void gguf_tokenizer(Bytes input) {
    const core::AlignedBytes bytes(input);
    expect(core::ErrorKind::model_unusable, [&] {
        const auto file = core::parse_gguf(bytes.span(), "fuzz");
        if (const auto tokenizer = core::load_tokenizer(*file)) use(*tokenizer);
    });
}

void sentencepiece(Bytes bytes) {
    expect(core::ErrorKind::model_unusable, [&] {
        use(*core::make_sentencepiece(core::read_sentencepiece_model(bytes, "fuzz"), "fuzz"));
    });
}

void tokenizer_json(Bytes bytes) {
    const auto make = [](core::Vocabulary vocabulary) {
        return vocabulary.byte_level ? core::make_byte_level_bpe(std::move(vocabulary), "fuzz")
                                     : core::make_sentencepiece(std::move(vocabulary), "fuzz");
    };
    expect(core::ErrorKind::model_unusable,
           [&] { use(*make(core::read_tokenizer_json(bytes, "fuzz"))); });
    expect(core::ErrorKind::model_unusable,
           [&] { use(*make(core::read_tok_json(bytes, "fuzz"))); });
    expect(core::ErrorKind::model_unusable,
           [&] { use(*make(core::read_tekken_json(bytes, "fuzz"))); });
}

}  // namespace fuzz
