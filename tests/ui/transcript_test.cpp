// The transcript: growing, marks, scrolling, following, other widths.
#include "ui/transcript.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/utf8.h"

namespace ui {
namespace {

std::vector<std::string> draw(Transcript& transcript, Size size) {
    Surface surface(size);
    transcript.draw(surface, {.row = 0, .column = 0, .rows = size.rows, .columns = size.columns},
                    Theme());
    std::vector<std::string> rows;
    rows.reserve(static_cast<size_t>(size.rows));
    for (int row = 0; row < size.rows; ++row)
        rows.push_back(surface.row_text(row));
    return rows;
}

void add_lines(Transcript& transcript, uint64_t key, int from, int to) {
    transcript.add({.key = key});
    std::string text;
    for (int i = from; i < to; ++i)
        text += (i == from ? "" : "\n") + std::to_string(i);
    transcript.append_text(transcript.size() - 1, text);
}

using Rows = std::vector<std::string>;

TEST(Transcript, LabelTextAsideAndTrailer) {
    Transcript transcript;
    transcript.add({.key = 1, .label = "you ▸", .aside = "3t"});
    transcript.append_text(0, "hello wide world of terminals and text");
    transcript.set_trailer(0, "stopped", StyleName::notice);
    EXPECT_EQ(draw(transcript, {.rows = 4, .columns = 32}),
              (Rows{"you ▸ hello wide world of     3t", "  terminals and text", "  stopped", ""}));
}

TEST(Transcript, GrowingTextEqualsTextAtOnce) {
    std::mt19937 random(9);
    const std::vector<std::string> parts = {"word ",   "日本、", "\n", "🙂", "\x1b[2J",
                                            "e\u0301", "a",      " ",  "-",    "👩\u200D🌾"};
    for (const int columns : {20, 40, 80, 120})
        for (int round = 0; round < 40; ++round) {
            std::string text;
            for (int i = 0; i < 60; ++i)
                text += parts[random() % parts.size()];
            Transcript whole;
            whole.add({.key = 1, .label = "m ▾"});
            whole.append_text(0, text);
            const Size size{.rows = 40, .columns = columns};
            Transcript grown;
            grown.add({.key = 1, .label = "m ▾"});
            for (size_t at = 0; at < text.size();) {
                size_t end = std::min(at + 1 + random() % 7, text.size());
                while (core::whole_utf8(std::string_view(text).substr(0, end)) != end)
                    ++end;
                grown.append_text(0, std::string_view(text).substr(at, end - at));
                draw(grown, size);
                at = end;
            }
            ASSERT_EQ(draw(grown, size), draw(whole, size));
        }
}

TEST(Transcript, FollowsTheEndUntilScrolledAndAgainAtTheEnd) {
    Transcript transcript;
    add_lines(transcript, 1, 0, 20);
    EXPECT_EQ(draw(transcript, {.rows = 3, .columns = 40}), (Rows{"  17", "  18", "  19"}));
    transcript.scroll(-5);
    EXPECT_EQ(draw(transcript, {.rows = 3, .columns = 40}), (Rows{"  12", "  13", "  14"}));
    EXPECT_FALSE(transcript.following());
    transcript.append_text(0, "\n20\n21");
    EXPECT_EQ(draw(transcript, {.rows = 3, .columns = 40}), (Rows{"  12", "  13", "  14"}));
    EXPECT_EQ(transcript.rows_below(), 7U);
    EXPECT_EQ(transcript.new_rows(), 2U);
    transcript.scroll(100);
    EXPECT_EQ(draw(transcript, {.rows = 3, .columns = 40}), (Rows{"  19", "  20", "  21"}));
    EXPECT_TRUE(transcript.following());
    transcript.append_text(0, "\n22");
    EXPECT_EQ(draw(transcript, {.rows = 3, .columns = 40}), (Rows{"  20", "  21", "  22"}));
}

TEST(Transcript, ScrollingStopsAtTheTop) {
    Transcript transcript;
    add_lines(transcript, 1, 0, 20);
    draw(transcript, {.rows = 3, .columns = 40});
    transcript.scroll_page(-100);
    EXPECT_EQ(draw(transcript, {.rows = 3, .columns = 40})[0], "  0");
    transcript.scroll(-1);
    EXPECT_EQ(draw(transcript, {.rows = 3, .columns = 40})[0], "  0");
}

TEST(Transcript, AnotherWidthKeepsWhatIsAtTheTop) {
    Transcript transcript;
    std::string text;
    for (int i = 0; i < 200; ++i)
        text += "word" + std::to_string(i) + " ";
    transcript.add({.key = 1});
    transcript.append_text(0, text);
    draw(transcript, {.rows = 4, .columns = 40});
    transcript.scroll(-20);
    const std::string top = draw(transcript, {.rows = 4, .columns = 40})[0];
    const std::string first_word = top.substr(2, top.find(' ', 2) - 2);
    const std::string narrow = draw(transcript, {.rows = 4, .columns = 23})[0] + " ";
    EXPECT_NE(narrow.find(first_word + " "), std::string::npos) << top << " / " << narrow;
    EXPECT_FALSE(transcript.following());
}

TEST(Transcript, MarksStandWhereTheTextWasAndAreWrappedWithIt) {
    Transcript transcript;
    transcript.add({.key = 1});
    transcript.append_text(0, "before ");
    transcript.append_mark(0, "┊T 0.7→1.1 @2┊");
    transcript.append_text(0, "after");
    EXPECT_EQ(draw(transcript, {.rows = 1, .columns = 60})[0], "  before ┊T 0.7→1.1 @2┊after");
    EXPECT_EQ(transcript.text_bytes(0), 12U);
    EXPECT_EQ(transcript.marks(0), 1U);
    Surface surface({.rows = 1, .columns = 60});
    transcript.draw(surface, {.row = 0, .column = 0, .rows = 1, .columns = 60}, Theme());
    EXPECT_EQ(surface.at(0, 9).style, Theme()[StyleName::mark]);
    EXPECT_EQ(surface.at(0, 2).style, Theme()[StyleName::text]);
    EXPECT_EQ(surface.at(0, 24).style, Theme()[StyleName::text]);
}

TEST(Transcript, TruncatingAndAddingReplacesTheEnd) {
    Transcript transcript;
    add_lines(transcript, 1, 0, 2);
    add_lines(transcript, 2, 5, 7);
    transcript.truncate(1);
    add_lines(transcript, 3, 8, 9);
    EXPECT_EQ(draw(transcript, {.rows = 4, .columns = 40}), (Rows{"  0", "  1", "", "  8"}));
    transcript.truncate(0);
    EXPECT_EQ(draw(transcript, {.rows = 1, .columns = 40}), (Rows{""}));
}

TEST(Transcript, NoSizeIsTooSmall) {
    Transcript transcript;
    transcript.add({.key = 1, .label = "日本語日本語 ▾", .aside = "12/13 400t"});
    transcript.append_text(0, "日本語 text with 🙂 and\nlines");
    for (int rows = 0; rows < 4; ++rows)
        for (int columns = 1; columns < 40; ++columns)
            draw(transcript, {.rows = rows, .columns = columns});
}

// A long conversation: items are filled when they are seen.
class LongTranscript : public testing::Test {
  public:
    ~LongTranscript() override = default;

  protected:
    static constexpr size_t kItems = 10'000;
    void SetUp() override {
        transcript.set_fill([this](size_t index) {
            ++filled;
            if (transcript.text_bytes(index) == 0) transcript.append_text(index, text_of(index));
        });
        for (size_t i = 0; i < kItems; ++i)
            transcript.add({.key = i + 1}, text_of(i).size());
    }
    static std::string text_of(size_t index) {
        std::string text = "item " + std::to_string(index);
        for (size_t row = 0; row < index % 3; ++row)
            text += "\n  more";
        return text;
    }
    Rows rows() { return draw(transcript, {.rows = 9, .columns = 40}); }

    Transcript transcript;
    size_t filled = 0;
};

TEST_F(LongTranscript, OnlyWhatTheWindowShowsIsAskedForAndLaidOut) {
    const Rows shown = rows();
    EXPECT_EQ(shown.back(), "  item 9999");
    EXPECT_LE(filled, 10U);
    EXPECT_LE(transcript.laid_out(), 10U);
    rows();
    EXPECT_LE(filled, 10U) << "what is known is not asked for again";
    transcript.touch(kItems - 1);
    transcript.touch(0);
    const size_t before = filled;
    rows();
    EXPECT_EQ(filled, before + 1) << "nobody sees the first";
    transcript.to_top();
    EXPECT_EQ(rows().front(), "  item 0");
    EXPECT_LE(filled, 30U);
}

TEST_F(LongTranscript, ScrollingShowsEveryRowOnceWhateverWasEstimated) {
    rows();
    // From the end to the top, row by row, the text above the window is what it is.
    std::vector<std::string> seen;
    for (int step = 0; step < 200; ++step) {
        transcript.scroll(-1);
        seen.push_back(rows().front());
    }
    std::vector<std::string> expected;
    for (size_t i = kItems; i-- > 0 && expected.size() < 300;) {
        expected.emplace_back();
        for (size_t row = 0; row < i % 3; ++row)
            expected.emplace_back("    more");
        expected.push_back("  item " + std::to_string(i));
    }
    // The last item but its blank row is in the window of nine rows.
    expected.erase(expected.begin(), expected.begin() + 10);
    expected.resize(seen.size());
    EXPECT_EQ(seen, expected);
    EXPECT_FALSE(transcript.following());
    for (int step = 0; step < 200; ++step)
        transcript.scroll(1);
    EXPECT_EQ(rows().back(), "  item 9999");
    EXPECT_TRUE(transcript.following());
}

TEST_F(LongTranscript, ASelectedItemIsBroughtIntoTheWindowFromAfar) {
    rows();
    transcript.select(5001);
    const Rows shown = rows();
    EXPECT_NE(std::find(shown.begin(), shown.end(), "  item 5000"), shown.end());
    EXPECT_LE(filled, 30U);
    transcript.select(5003);
    const Rows next = rows();
    EXPECT_NE(std::find(next.begin(), next.end(), "  item 5002"), next.end());
    transcript.select(5001);
    EXPECT_EQ(rows(), next) << "it was there already";
}

TEST_F(LongTranscript, NewRowsAreThoseThatCameAndNotBetterEstimates) {
    rows();
    transcript.scroll(-500);
    rows();
    EXPECT_EQ(transcript.new_rows(), 0U);
    const size_t below = transcript.rows_below();
    EXPECT_EQ(below, 500U);
    transcript.add({.key = kItems + 1}, 4);
    rows();
    EXPECT_EQ(transcript.new_rows(), 3U);  // a blank row and "item 10000", "  more" below
    EXPECT_EQ(transcript.rows_below(), below + 3);
    transcript.scroll(-1000);
    rows();
    EXPECT_EQ(transcript.new_rows(), 3U);
}

TEST_F(LongTranscript, AnotherWidthKeepsTheItemAtTheTop) {
    rows();
    transcript.scroll(-300);
    const std::string top = rows().front();
    const Rows narrow = draw(transcript, {.rows = 9, .columns = 33});
    EXPECT_EQ(narrow.front(), top);
    EXPECT_LE(transcript.laid_out(), 30U);
}

}  // namespace
}  // namespace ui
