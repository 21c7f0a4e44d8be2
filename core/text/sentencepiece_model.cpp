// The wire format of SentencePiece model files (protobuf, sentencepiece_model.proto): a reader for
// untrusted files and a writer for what the library is given. Declared in vocabulary.h.

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/text/vocabulary.h"

namespace core {
namespace {

// Field numbers of sentencepiece_model.proto, by message.
constexpr uint32_t kPieces = 1;
constexpr uint32_t kTrainerSpec = 2;
constexpr uint32_t kNormalizer = 3;
constexpr uint32_t kDenormalizer = 5;

constexpr uint32_t kPiece = 1;
constexpr uint32_t kScore = 2;
constexpr uint32_t kType = 3;

constexpr uint32_t kModelType = 3;
constexpr uint32_t kWhitespaceAsSuffix = 24;
constexpr uint32_t kByteFallback = 35;
constexpr uint32_t kUnknownPiece = 45;
constexpr uint32_t kBosPiece = 46;
constexpr uint32_t kEosPiece = 47;
constexpr uint32_t kPadPiece = 48;

constexpr uint32_t kNormalizerName = 1;
constexpr uint32_t kCharsmap = 2;
constexpr uint32_t kAddDummyPrefix = 3;
constexpr uint32_t kRemoveExtraWhitespaces = 4;
constexpr uint32_t kEscapeWhitespaces = 5;
constexpr uint32_t kRuleTsv = 6;

constexpr uint64_t kUnigram = 1;
constexpr uint64_t kBpe = 2;

// Wire types of protobuf.
constexpr uint32_t kVarint = 0;
constexpr uint32_t kFixed64 = 1;
constexpr uint32_t kLength = 2;
constexpr uint32_t kFixed32 = 5;

// One field: a number for varints and fixed widths, a view for the rest.
struct Field {
    uint32_t number = 0;
    uint32_t wire = 0;
    uint64_t value = 0;
    std::span<const std::byte> bytes = {};
};

uint64_t read_varint(ByteReader& reader) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const auto byte = reader.read<uint8_t>("a number");
        value |= static_cast<uint64_t>(byte & 0x7F) << shift;
        if (byte < 0x80) return value;
    }
    reader.fail("has a number of more than 10 bytes", "is it a SentencePiece model?");
}

Field read_field(ByteReader& reader) {
    const uint64_t key = read_varint(reader);
    Field field{.number = static_cast<uint32_t>(std::min<uint64_t>(key >> 3, UINT32_MAX)),
                .wire = static_cast<uint32_t>(key & 7)};
    switch (field.wire) {
        case kVarint: field.value = read_varint(reader); break;
        case kFixed64: field.value = reader.read<uint64_t>("a 64-bit field"); break;
        case kFixed32: field.value = reader.read<uint32_t>("a 32-bit field"); break;
        case kLength: {
            const uint64_t length = read_varint(reader);
            field.bytes = reader.take(length, "a field of bytes");
            break;
        }
        default:
            reader.fail("has a field of wire type " + std::to_string(field.wire),
                        "is it a SentencePiece model?");
    }
    if (field.number == 0) reader.fail("has a field number 0", "is it a SentencePiece model?");
    return field;
}

// Calls visit(field) for each field of a message.
template <class Visit>
void for_each_field(std::span<const std::byte> bytes, const std::string& object, Visit visit) {
    ByteReader reader(bytes, object);
    while (reader.remaining() > 0)
        visit(reader, read_field(reader));
}

void require_wire(const ByteReader& reader, const Field& field, uint32_t wire, const char* name) {
    if (field.wire != wire)
        reader.fail(std::string(name) + " has the wire type " + std::to_string(field.wire) +
                    ", expected " + std::to_string(wire));
}

std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// What the specs say besides the pieces.
struct Specs {
    uint64_t model_type = kUnigram;  // the default of the format
    std::string bos = "<s>";
    std::string eos = "</s>";
    std::string pad = "<pad>";
    std::string normalizer = "unknown";
    bool whitespace_as_suffix = false;
    bool rewrites_text = false;
    bool dummy_prefix = true;
    bool remove_extra_whitespaces = true;
    bool escape_whitespaces = true;
};

void read_piece(std::span<const std::byte> bytes, const std::string& object, Vocabulary& out) {
    const std::string name = object + ": piece " + std::to_string(out.pieces.size());
    std::string text;
    float score = 0;
    uint64_t type = 1;
    for_each_field(bytes, name, [&](const ByteReader& reader, const Field& field) {
        switch (field.number) {
            case kPiece:
                require_wire(reader, field, kLength, "the text");
                text = text_of(field.bytes);
                break;
            case kScore:
                require_wire(reader, field, kFixed32, "the score");
                score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
                break;
            case kType:
                require_wire(reader, field, kVarint, "the type");
                type = field.value;
                break;
            default: break;
        }
    });
    if (type < 1 || type > 6)
        throw Error(ErrorKind::model_unusable, name,
                    "the type is " + std::to_string(type) + ", expected 1 to 6");
    out.pieces.push_back(std::move(text));
    out.scores.push_back(score);
    out.kinds.push_back(static_cast<PieceKind>(type - 1));
}

void read_trainer_spec(std::span<const std::byte> bytes, const std::string& object, Specs& specs) {
    for_each_field(bytes, object, [&](const ByteReader& reader, const Field& field) {
        switch (field.number) {
            case kModelType:
                require_wire(reader, field, kVarint, "the model type");
                specs.model_type = field.value;
                break;
            case kWhitespaceAsSuffix: specs.whitespace_as_suffix = field.value != 0; break;
            case kBosPiece: specs.bos = text_of(field.bytes); break;
            case kEosPiece: specs.eos = text_of(field.bytes); break;
            case kPadPiece: specs.pad = text_of(field.bytes); break;
            default: break;
        }
    });
}

void read_normalizer_spec(std::span<const std::byte> bytes, const std::string& object,
                          Specs& specs) {
    for_each_field(bytes, object, [&](const ByteReader&, const Field& field) {
        switch (field.number) {
            case kNormalizerName: specs.normalizer = text_of(field.bytes); break;
            case kCharsmap:
            case kRuleTsv: specs.rewrites_text = specs.rewrites_text || !field.bytes.empty(); break;
            case kAddDummyPrefix: specs.dummy_prefix = field.value != 0; break;
            case kRemoveExtraWhitespaces: specs.remove_extra_whitespaces = field.value != 0; break;
            case kEscapeWhitespaces: specs.escape_whitespaces = field.value != 0; break;
            default: break;
        }
    });
}

void check_specs(const Specs& specs, const std::string& object) {
    const auto fail = [&](const std::string& problem, const char* advice) {
        throw Error(ErrorKind::model_unusable, object, problem, advice);
    };
    if (specs.model_type != kBpe) {
        const bool unigram = specs.model_type == kUnigram;
        fail(unigram ? "is a unigram vocabulary"
                     : "is a vocabulary of model type " + std::to_string(specs.model_type),
             "only BPE vocabularies are supported");
    }
    if (specs.rewrites_text)
        fail("its normalizer " + sanitize(std::string_view(specs.normalizer).substr(0, 64)) +
                 " rewrites text",
             "only the identity normalizer is supported");
    if (specs.remove_extra_whitespaces)
        fail("its normalizer removes repeated spaces",
             "only vocabularies with remove_extra_whitespaces = false are supported");
    if (!specs.escape_whitespaces)
        fail("its normalizer does not escape spaces",
             "only vocabularies with escape_whitespaces = true are supported");
    if (specs.whitespace_as_suffix)
        fail("treats spaces as suffixes",
             "only vocabularies with spaces as prefixes are supported");
}

// SentencePiece looks these up by name, and only a control piece counts.
std::optional<TokenId> control_piece(const Vocabulary& vocabulary, const std::string& piece) {
    for (size_t id = 0; id < vocabulary.pieces.size(); ++id)
        if (vocabulary.kinds[id] == PieceKind::control && vocabulary.pieces[id] == piece)
            return static_cast<TokenId>(id);
    return std::nullopt;
}

void put_varint(std::string& out, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        out.push_back(static_cast<char>((value & 0x7F) | 0x80));
    out.push_back(static_cast<char>(value));
}

void put_number(std::string& out, uint32_t field, uint64_t value) {
    put_varint(out, field << 3 | kVarint);
    put_varint(out, value);
}

void put_bytes(std::string& out, uint32_t field, std::string_view bytes) {
    put_varint(out, field << 3 | kLength);
    put_varint(out, bytes.size());
    out.append(bytes);
}

void put_float(std::string& out, uint32_t field, float value) {
    put_varint(out, field << 3 | kFixed32);
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out.append(bytes, sizeof value);
}

}  // namespace

Vocabulary read_sentencepiece_model(std::span<const std::byte> bytes, const std::string& object) {
    Vocabulary vocabulary;
    Specs specs;
    for_each_field(bytes, object, [&](const ByteReader& reader, const Field& field) {
        switch (field.number) {
            case kPieces:
                require_wire(reader, field, kLength, "a piece");
                read_piece(field.bytes, object, vocabulary);
                break;
            case kTrainerSpec:
                require_wire(reader, field, kLength, "the trainer spec");
                read_trainer_spec(field.bytes, object, specs);
                break;
            case kNormalizer:
                require_wire(reader, field, kLength, "the normalizer spec");
                read_normalizer_spec(field.bytes, object, specs);
                break;
            case kDenormalizer: {
                require_wire(reader, field, kLength, "the denormalizer spec");
                Specs denormalizer;
                read_normalizer_spec(field.bytes, object, denormalizer);
                specs.rewrites_text = specs.rewrites_text || denormalizer.rewrites_text;
                break;
            }
            default: break;
        }
    });
    if (vocabulary.pieces.empty())
        throw Error(ErrorKind::model_unusable, object, "has no pieces",
                    "is it a SentencePiece model?");
    check_specs(specs, object);
    vocabulary.bos = control_piece(vocabulary, specs.bos);
    vocabulary.eos = control_piece(vocabulary, specs.eos);
    vocabulary.pad = control_piece(vocabulary, specs.pad);
    vocabulary.dummy_prefix = specs.dummy_prefix;
    check_vocabulary(vocabulary, object);
    return vocabulary;
}

std::string write_sentencepiece_model(std::span<const std::string> pieces,
                                      std::span<const float> scores,
                                      std::span<const PieceKind> kinds) {
    std::string out;
    std::string unknown;
    bool bytes = false;
    for (size_t id = 0; id < pieces.size(); ++id) {
        std::string piece;
        put_bytes(piece, kPiece, pieces[id]);
        put_float(piece, kScore, scores[id]);
        put_number(piece, kType, static_cast<uint64_t>(kinds[id]) + 1);
        put_bytes(out, kPieces, piece);
        bytes = bytes || kinds[id] == PieceKind::byte;
        if (kinds[id] == PieceKind::unknown) unknown = pieces[id];
    }
    std::string trainer;
    put_number(trainer, kModelType, kBpe);
    put_number(trainer, kByteFallback, bytes ? 1 : 0);
    put_bytes(trainer, kUnknownPiece, unknown);
    put_bytes(out, kTrainerSpec, trainer);

    std::string normalizer;
    put_bytes(normalizer, kNormalizerName, "identity");
    put_number(normalizer, kAddDummyPrefix, 0);
    put_number(normalizer, kRemoveExtraWhitespaces, 0);
    put_number(normalizer, kEscapeWhitespaces, 1);
    put_bytes(out, kNormalizer, normalizer);
    return out;
}

}  // namespace core
