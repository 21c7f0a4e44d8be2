// The pickles of a checkpoint are read, and nothing else is: whatever else they ask for is refused
// with a sentence, in bounded time and memory.
#include "core/formats/pickle.h"

#include <cstddef>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/core/formats/gguf_bytes.h"
#include "tests/support/pickles.h"

namespace core {
namespace {

using support::ArrayToPickle;
using support::PickleFile;
using testing::ElementsAre;
using testing::HasSubstr;
using Type = ArrayToPickle::Type;

// Written by Python 3.11 with numpy 1.24: the float32 vector [1, 2, -3.5].
constexpr std::string_view kVector =
    "80049594000000000000008c156e756d70792e636f72652e6d756c74696172726179948c0c5f7265636f6e73747275"
    "63749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b014b03859468038c"
    "0564747970659493948c02663494898887945294284b038c013c944e4e4e4affffffff4affffffff4b007494628943"
    "0c0000803f00000040000060c0947494622e";

// The same of QuantizedWeight8bit: [[1, -2, 3], [-4, 5, -127]], scales [[0.5, 0.25, 2]].
constexpr std::string_view kQuantized =
    "80049525010000000000008c085f5f6d61696e5f5f948c135175616e74697a65645765696768743862697494939429"
    "81947d94288c06776569676874948c156e756d70792e636f72652e6d756c74696172726179948c0c5f7265636f6e73"
    "74727563749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b014b024b03"
    "869468098c0564747970659493948c02693194898887945294284b038c017c944e4e4e4affffffff4affffffff4b00"
    "74946289430601fe03fc0581947494628c067363616c6573946808680b4b008594680d87945294284b014b014b0386"
    "9468128c096d6c5f647479706573948c0862666c6f61743136949394898887945294284b038c013c944e4e4e4b024b"
    "024b70749462894306003f803e00409474946275622e";

std::string unhex(std::string_view hex) {
    const AlignedBytes bytes = from_hex(hex);
    return {reinterpret_cast<const char*>(bytes.span().data()), bytes.size()};
}

std::vector<std::byte> to_bytes(std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

std::string vector_pickle() {
    return unhex(kVector);
}

std::string quantized_pickle() {
    return unhex(kQuantized);
}

PickledTensor read(std::string_view text) {
    const AlignedBytes bytes(text);
    return read_pickle(bytes.span(), "tensor00000_000");
}

// The message of the Error; reading must fail, and with this kind.
std::string refusal(std::string_view text) {
    try {
        read(text);
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::model_unusable);
        return error.what();
    }
    ADD_FAILURE() << "was accepted";
    return {};
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
}

// Opcodes behind PROTO 4.
std::string program(std::string_view opcodes) {
    return std::string("\x80\x04", 2) + std::string(opcodes);
}

std::string text_opcode(std::string_view text) {
    return std::string("\x8c") + static_cast<char>(text.size()) + std::string(text);
}

std::string global(std::string_view module, std::string_view name) {
    return text_opcode(module) + text_opcode(name) + "\x93";
}

TEST(Pickle, ReadsTheVectorThatPythonWrote) {
    const PickledTensor tensor = read(vector_pickle());
    EXPECT_EQ(tensor.values.type, DType::f32);
    EXPECT_THAT(tensor.values.shape, ElementsAre(3u));
    EXPECT_EQ(tensor.values.length, 12u);
    EXPECT_EQ(vector_pickle().substr(tensor.values.offset, 4), std::string("\0\0\x80?", 4));
    EXPECT_FALSE(tensor.scales);
}

TEST(Pickle, ReadsWeightsAndScalesThatShareTheirMemo) {
    const std::string bytes = quantized_pickle();
    const PickledTensor tensor = read(bytes);
    EXPECT_EQ(tensor.values.type, DType::i8);
    EXPECT_THAT(tensor.values.shape, ElementsAre(2u, 3u));
    EXPECT_EQ(bytes.substr(tensor.values.offset, 6), "\x01\xfe\x03\xfc\x05\x81");
    ASSERT_TRUE(tensor.scales);
    EXPECT_EQ(tensor.scales->type, DType::bf16);
    EXPECT_THAT(tensor.scales->shape, ElementsAre(1u, 3u));
    EXPECT_EQ(bytes.substr(tensor.scales->offset, 6), std::string("\x00?\x80>\x00@", 6));
}

TEST(Pickle, TestWriterMakesWhatPythonMakes) {
    const std::string data("\0\0\x80?\0\0\0@\0\0`\xc0", 12);
    EXPECT_EQ(PickleFile({Type::f32, {3}, to_bytes(data)}).bytes(), vector_pickle());
    EXPECT_EQ(PickleFile({Type::i8, {2, 3}, to_bytes("\x01\xfe\x03\xfc\x05\x81")},
                         {Type::bf16, {1, 3}, to_bytes(std::string_view("\x00?\x80>\x00@", 6))})
                  .bytes(),
              quantized_pickle());
}

TEST(Pickle, ReadsArraysSavedAgainByNumpy2) {
    EXPECT_NO_THROW(
        read(replaced(vector_pickle(), "\x15numpy.core.multiarray", "\x16numpy._core.multiarray")));
}

TEST(Pickle, TruncationAtEveryByteIsRefused) {
    for (const std::string& whole : {vector_pickle(), quantized_pickle()})
        for (size_t length = 0; length < whole.size(); ++length)
            EXPECT_FALSE(refusal(whole.substr(0, length)).empty()) << length;
}

TEST(Pickle, BytesBehindTheEndAreRefused) {
    EXPECT_THAT(refusal(vector_pickle() + "x"), HasSubstr("1 bytes behind its end"));
}

TEST(Pickle, EveryOpcodeThatNoCheckpointNeedsIsRefused) {
    const std::string needed =
        "()."
        "BCJKMNRbhjtu}\x81\x85\x86\x87\x88\x89\x8c\x8e\x93\x94\x95";
    for (int byte = 0; byte < 256; ++byte) {
        if (needed.find(static_cast<char>(byte)) != std::string::npos) continue;
        EXPECT_THAT(refusal(program(std::string(1, static_cast<char>(byte)) + "N.")),
                    HasSubstr("has the opcode " + std::to_string(byte)));
    }
}

TEST(Pickle, ForeignGlobalsAreRefusedByName) {
    EXPECT_THAT(refusal(program(global("os", "system") + ".")), HasSubstr("asks for os.system"));
    EXPECT_THAT(refusal(program(global("numpy", "load") + ".")), HasSubstr("numpy.load"));
    EXPECT_THAT(refusal(program(global("builtins", "eval") + ".")), HasSubstr("builtins.eval"));
    EXPECT_THAT(refusal(program(global("__main__", "x\x1b") + ".")), Not(HasSubstr("\x1b")));
    EXPECT_THAT(refusal(program("K\x01K\x02\x93.")), HasSubstr("something other than text"));
}

TEST(Pickle, CallsOtherThanThoseOfAnArrayAreRefused) {
    const std::string call("K\x00\x85R.", 5);
    for (const char* name : {"dtype", "ndarray"})
        EXPECT_THAT(refusal(program(global("numpy", name) + call)), HasSubstr("calls something"));
    const std::string arguments = global("numpy", "ndarray") + "K\x01\x85" + "C\x01" + "b\x87R.";
    EXPECT_THAT(refusal(program(global("numpy.core.multiarray", "_reconstruct") + arguments)),
                HasSubstr("calls something"));
    EXPECT_THAT(refusal(program(global("numpy", "ndarray") + ")\x81.")),
                HasSubstr("other than QuantizedWeight8bit"));
    EXPECT_THAT(refusal(program("N}b.")), HasSubstr("has none"));
    EXPECT_THAT(refusal(program("N.")), HasSubstr("holds no array"));
}

TEST(Pickle, ArraysOfOtherFormsAreRefused) {
    const std::string whole = vector_pickle();
    EXPECT_THAT(refusal(replaced(whole, "f4", "f8")), HasSubstr("f8"));
    EXPECT_THAT(refusal(replaced(whole, "\x01<", "\x01>")), HasSubstr("byte order"));
    // is_fortran, in front of the payload.
    EXPECT_THAT(refusal(replaced(whole,
                                 "b\x89"
                                 "C\x0c",
                                 "b\x88"
                                 "C\x0c")),
                HasSubstr("Fortran"));
    EXPECT_THAT(refusal(replaced(whole, "K\x03\x85", "K\x04\x85")), HasSubstr("needs 16"));
    EXPECT_THAT(refusal(replaced(whole, std::string_view("K\x03\x85", 3),
                                 std::string_view("K\x00\x85", 3))),
                HasSubstr("impossible shape"));
    EXPECT_THAT(
        refusal(replaced(whole, std::string_view("\x80\x04", 2), std::string_view("\x80\x05", 2))),
        HasSubstr("protocol 4"));
    EXPECT_THAT(refusal(program("\x80\x04.")), HasSubstr("opcode 128"));
}

TEST(Pickle, SizesThatOverflowAreRefused) {
    // 2^31 - 1 to the third, times four.
    const std::string huge = "J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x87";
    EXPECT_THAT(refusal(replaced(vector_pickle(), "K\x03\x85", huge)),
                HasSubstr("impossible shape"));
}

TEST(Pickle, LengthsBeyondTheFileAreRefused) {
    const std::string ones(8, '\xff');
    EXPECT_THAT(refusal(program("\x8e" + ones + ".")), HasSubstr("payload"));
    EXPECT_THAT(refusal(program("\x95" + ones + ".")), HasSubstr("frame"));
    EXPECT_THAT(refusal(program("B\xff\xff\xff\xff.")), HasSubstr("payload"));
    EXPECT_THAT(refusal(program("\x8c\xff" + std::string(255, 'x') + ".")), HasSubstr("more than"));
    EXPECT_THAT(refusal(program("j\xff\xff\xff\xff.")), HasSubstr("memo entry"));
}

TEST(Pickle, BombsEndSoon) {
    constexpr size_t kMany = 4'000'000;
    std::string nested = ")";
    nested.append(kMany, '\x85');
    EXPECT_THAT(refusal(program(nested + ".")), HasSubstr("opcodes"));
    EXPECT_THAT(refusal(program(std::string(kMany, 'N') + ".")), HasSubstr("stacks more than"));
    std::string memo = "N";
    memo.append(kMany, '\x94');
    EXPECT_THAT(refusal(program(memo + ".")), HasSubstr("memo entries"));
    EXPECT_THAT(refusal(program(std::string(kMany, '.'))), HasSubstr("behind its end"));
    EXPECT_THAT(refusal(program("u.")), HasSubstr("empty stack"));
}

TEST(Pickle, ValuesThatHoldThemselvesAreHarmless) {
    // d = {}; d["weight"] = d
    const std::string self = "}\x94(" + text_opcode("weight") + std::string("h\0", 2) + "u.";
    EXPECT_THAT(refusal(program(self)), HasSubstr("holds no array"));
}

TEST(Pickle, AnyChangedByteIsReadWithinTheFileOrRefused) {
    const std::string whole = quantized_pickle();
    size_t accepted = 0;
    for (size_t at = 0; at < whole.size(); ++at) {
        for (int change = 1; change < 256; change += change < 16 ? 1 : 17) {
            std::string changed = whole;
            changed[at] = static_cast<char>(changed[at] ^ change);
            try {
                const PickledTensor tensor = read(changed);
                ASSERT_LE(tensor.values.length, changed.size());
                ASSERT_LE(tensor.values.offset, changed.size() - tensor.values.length);
                ++accepted;
            } catch (const Error& error) {
                ASSERT_EQ(error.kind(), ErrorKind::model_unusable);
            }
        }
    }
    // The twelve bytes of payload, whatever they become.
    EXPECT_GT(accepted, 12u * 25u);
}

}  // namespace
}  // namespace core
