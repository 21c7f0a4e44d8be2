// Bytes to keys: known sequences, timeouts, pastes, and independence of how reads were cut.
#include "ui/keys.h"

#include <algorithm>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace ui {
namespace {

std::string describe(const Input& input) {
    std::ostringstream out;
    if (const auto* key = std::get_if<Key>(&input)) {
        out << "key " << static_cast<int>(key->code) << " " << static_cast<uint32_t>(key->character)
            << " " << static_cast<int>(key->modifiers);
    } else if (const auto* paste = std::get_if<Paste>(&input)) {
        out << "paste " << paste->text;
    } else if (const auto* wheel = std::get_if<Wheel>(&input)) {
        out << "wheel " << wheel->lines;
    } else if (const auto* report = std::get_if<ModeReport>(&input)) {
        out << "mode " << report->mode << " " << report->value;
    } else if (const auto* focus = std::get_if<FocusReport>(&input)) {
        out << (focus->focused ? "focus" : "no focus");
    }
    return out.str();
}

std::vector<std::string> describe(const std::vector<Input>& inputs) {
    std::vector<std::string> lines(inputs.size());
    std::ranges::transform(inputs, lines.begin(),
                           [](const Input& input) { return describe(input); });
    return lines;
}

std::vector<Input> decode(std::string_view bytes) {
    KeyDecoder decoder;
    return decoder.feed(bytes, {});
}

Key only_key(std::string_view bytes) {
    const std::vector<Input> inputs = decode(bytes);
    EXPECT_EQ(inputs.size(), 1U) << testing::PrintToString(std::string(bytes));
    if (inputs.empty() || !std::holds_alternative<Key>(inputs[0])) return {};
    return std::get<Key>(inputs[0]);
}

TEST(Keys, TheTerminalTellsWhetherItHasTheFocus) {
    EXPECT_EQ(describe(decode("\x1b[O\x1b[I")), (std::vector<std::string>{"no focus", "focus"}));
}

TEST(Keys, PlainControlAndMetaKeys) {
    EXPECT_TRUE(only_key("a").is(KeyCode::character));
    EXPECT_EQ(only_key("日").character, U'日');
    EXPECT_TRUE(only_key("\r").is(KeyCode::enter));
    EXPECT_TRUE(only_key("\n").is_control('j'));
    EXPECT_TRUE(only_key("\x03").is_control('c'));
    EXPECT_TRUE(only_key("\x1c").is_control('\\'));
    EXPECT_TRUE(only_key("\x7f").is(KeyCode::backspace));
    EXPECT_TRUE(only_key("\x1b\r").is(KeyCode::enter, kAlt));
    EXPECT_TRUE(only_key("\x1b\x7f").is(KeyCode::backspace, kAlt));
    EXPECT_EQ(only_key("\x1b"
                       "b")
                  .modifiers,
              kAlt);
    EXPECT_EQ(only_key("\x1b日").bytes, "\x1b日");
}

TEST(Keys, SequencesOfXtermTheConsoleAndFixterms) {
    EXPECT_TRUE(only_key("\x1b[A").is(KeyCode::up));
    EXPECT_TRUE(only_key("\x1bOB").is(KeyCode::down));
    EXPECT_TRUE(only_key("\x1b[1;5C").is(KeyCode::right, kControl));
    EXPECT_TRUE(only_key("\x1b[1;5F").is(KeyCode::end, kControl));
    EXPECT_TRUE(only_key("\x1b[5~").is(KeyCode::page_up));
    EXPECT_TRUE(only_key("\x1b[3;2~").is(KeyCode::remove, kShift));
    EXPECT_TRUE(only_key("\x1b[Z").is(KeyCode::tab, kShift));
    EXPECT_EQ(only_key("\x1b[15~").character, 5U);
    EXPECT_EQ(only_key("\x1b[[E").character, 5U);
    EXPECT_EQ(only_key("\x1bOP").character, 1U);
    EXPECT_TRUE(only_key("\x1b[13;2u").is(KeyCode::enter, kShift));
    EXPECT_TRUE(only_key("\x1b[27;2;13~").is(KeyCode::enter, kShift));
    EXPECT_TRUE(only_key("\x1b[99;5u").is_control('c'));
}

TEST(Keys, UnknownSequencesAreDroppedWhole) {
    EXPECT_EQ(describe(decode("\x1b[999~x")), describe(decode("x")));
    EXPECT_EQ(describe(decode("\x1b[<0;3;4Mx")), describe(decode("x")));
    EXPECT_EQ(describe(decode("\x1b[?62;c"
                              "x")),
              describe(decode("x")));
    EXPECT_EQ(describe(decode("\x1b[12\x1b[A")), describe(decode("\x1b[A")));
}

TEST(Keys, ModeReportIsNoKey) {
    EXPECT_EQ(describe(decode("\x1b[?2026;2$y")), (std::vector<std::string>{"mode 2026 2"}));
}

TEST(Keys, LoneEscapeIsAKeyOnlyAfterItsTimeout) {
    KeyDecoder decoder;
    const TimePoint start{};
    EXPECT_TRUE(decoder.feed("\x1b", start).empty());
    ASSERT_TRUE(decoder.deadline().has_value());
    EXPECT_EQ(*decoder.deadline(), start + kEscapeTimeout);
    EXPECT_TRUE(decoder.expire(start + kEscapeTimeout / 2).empty());
    const auto inputs = decoder.expire(start + kEscapeTimeout);
    ASSERT_EQ(inputs.size(), 1U);
    EXPECT_TRUE(std::get<Key>(inputs[0]).is(KeyCode::escape));
    EXPECT_FALSE(decoder.deadline().has_value());
}

TEST(Keys, ASlowSequenceIsStillOneKey) {
    KeyDecoder decoder;
    EXPECT_TRUE(decoder.feed("\x1b", {}).empty());
    EXPECT_TRUE(decoder.feed("[", TimePoint{} + kEscapeTimeout * 10).empty());
    const auto inputs = decoder.feed("A", TimePoint{} + kEscapeTimeout * 20);
    ASSERT_EQ(inputs.size(), 1U);
    EXPECT_TRUE(std::get<Key>(inputs[0]).is(KeyCode::up));
}

TEST(Keys, PasteKeepsEverythingButItsLineEnds) {
    const auto inputs = decode("\x1b[200~one\rtwo\r\nthree\n\x1b[A\x03\x1b[201~x");
    ASSERT_EQ(inputs.size(), 2U);
    EXPECT_EQ(std::get<Paste>(inputs[0]).text, "one\ntwo\nthree\n\x1b[A\x03");
}

TEST(Keys, APasteWithoutAnEndIsGivenOutAfterAWhile) {
    KeyDecoder decoder;
    EXPECT_TRUE(decoder.feed("\x1b[200~abc\x1b[20", {}).empty());
    ASSERT_TRUE(decoder.deadline().has_value());
    const auto inputs = decoder.expire(*decoder.deadline());
    ASSERT_FALSE(inputs.empty());
    EXPECT_EQ(std::get<Paste>(inputs[0]).text, "abc\x1b[20");
    EXPECT_FALSE(decoder.deadline().has_value());
}

TEST(Keys, AHundredKilobytePasteArrivesWhole) {
    std::string text;
    for (int i = 0; i < 10000; ++i)
        text += "0123456789";
    KeyDecoder decoder;
    std::vector<Input> inputs;
    const std::string bytes = "\x1b[200~" + text + "\x1b[201~";
    for (size_t at = 0; at < bytes.size(); at += 4096)
        for (Input& input : decoder.feed(std::string_view(bytes).substr(at, 4096), {}))
            inputs.push_back(std::move(input));
    ASSERT_EQ(inputs.size(), 1U);
    EXPECT_EQ(std::get<Paste>(inputs[0]).text, text);
}

// Every piece ends where a lone Escape would not be ambiguous, so that no timeout is involved.
TEST(Keys, EventsDoNotDependOnHowReadsWereCut) {
    const std::vector<std::string> pieces = {"a",
                                             "日",
                                             "\x1b[A",
                                             "\x1bOC",
                                             "\x1b[1;5D",
                                             "\r",
                                             "\n",
                                             "\x03",
                                             "\x1b\r",
                                             "\x1b[15~",
                                             "\x1b[[A",
                                             "\x1b[13;2u",
                                             "\x1b[?1;2c",
                                             "\x1b[999z",
                                             "\xff",
                                             "\xe2\x82",
                                             "\x1bq",
                                             "\x1b[?2026;1$y",
                                             "é",
                                             "🙂",
                                             "\x1b[200~x\ry\x1b[201~",
                                             "\x1b[200~\x1b[20\x1b[201~"};
    std::mt19937 random(7);
    for (int round = 0; round < 2000; ++round) {
        std::string bytes;
        for (size_t i = random() % 12; i > 0; --i)
            bytes += pieces[random() % pieces.size()];
        bytes += ".";
        const auto whole = describe(decode(bytes));
        KeyDecoder decoder;
        std::vector<Input> cut;
        for (size_t at = 0; at < bytes.size();) {
            const size_t count = 1 + random() % 5;
            for (Input& input : decoder.feed(std::string_view(bytes).substr(at, count), {}))
                cut.push_back(std::move(input));
            at += count;
        }
        ASSERT_EQ(describe(cut), whole) << testing::PrintToString(bytes);
    }
}

TEST(Keys, RandomBytesNeverLoseTheKeyAfterThem) {
    std::mt19937 random(11);
    for (int round = 0; round < 3000; ++round) {
        std::string bytes;
        for (size_t i = random() % 20; i > 0; --i)
            bytes.push_back(static_cast<char>(random() % 3 == 0 ? 0x1b : random() % 256));
        if (bytes.find("\x1b[200~") != std::string::npos) continue;
        KeyDecoder decoder;
        decoder.feed(bytes, {});
        decoder.expire(TimePoint{} + std::chrono::seconds(1));
        ASSERT_FALSE(decoder.deadline().has_value()) << testing::PrintToString(bytes);
        const auto inputs = decoder.feed("z", {});
        ASSERT_EQ(inputs.size(), 1U);
        ASSERT_EQ(std::get<Key>(inputs[0]).character, U'z');
    }
}

TEST(Keys, BurstsOfArrowsAreTheWheel) {
    EXPECT_EQ(describe(fold_wheel(decode("\x1b[A\x1b[A\x1b[A"))),
              (std::vector<std::string>{"wheel -3"}));
    EXPECT_EQ(describe(fold_wheel(decode("\x1bOB\x1bOB\x1bOB\x1bOBx"))),
              (std::vector<std::string>{"wheel 4", describe(decode("x"))[0]}));
    EXPECT_EQ(fold_wheel(decode("\x1b[A\x1b[A")).size(), 2U);
    EXPECT_EQ(fold_wheel(decode("\x1b[A\x1b[A\x1b[B\x1b[A")).size(), 4U);
}

}  // namespace
}  // namespace ui
