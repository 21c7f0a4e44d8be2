// Which files a message names, and what is read of them.
#include "app/chat/attachments.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace app {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class AttachmentFiles : public testing::Test {
  protected:
    AttachmentFiles() {
        write("one.cpp", "int one() {\n    return 1;\n}\n");
        write("two.cpp", "int two();\n");
        write("sub/three.h", "int three();\n");
    }

    std::string at(const std::string& name) const { return folder.path() + "/" + name; }
    void write(const std::string& name, const std::string& text) const {
        const fs::path path = at(name);
        fs::create_directories(path.parent_path());
        std::ofstream(path, std::ios::binary) << text;
    }
    chat::Prompt take(const std::string& words) { return files.take(words); }
    std::string refusal(const std::string& words) {
        try {
            take(words);
        } catch (const core::Error& error) {
            EXPECT_EQ(error.kind(), core::ErrorKind::usage);
            return error.what();
        }
        return "nothing was refused";
    }

    support::TemporaryFolder folder;
    MessageFiles files;
};

std::vector<std::string> labels(const chat::Attachments& files) {
    std::vector<std::string> found;
    for (const auto& file : files)
        found.push_back(fs::path(chat::label_of(*file)).filename());
    return found;
}

TEST_F(AttachmentFiles, AWordBehindAnAtNamesAFileAndStaysInTheText) {
    const std::string words = "explain @" + at("one.cpp") + ", please";
    const chat::Prompt prompt = take(words);
    EXPECT_EQ(prompt.text, words);
    ASSERT_THAT(labels(prompt.files), ElementsAre("one.cpp"));
    EXPECT_EQ(prompt.files[0]->text, "int one() {\n    return 1;\n}");
    EXPECT_EQ(chat::text_with_files("explain", prompt.files),
              "explain\n\n" + at("one.cpp") + ":\n```\nint one() {\n    return 1;\n}\n```");
}

TEST_F(AttachmentFiles, LinesAndPatternsAndQuotesAreUnderstood) {
    write("two words.txt", "hello\n");
    EXPECT_EQ(take("@" + at("one.cpp") + ":2").files[0]->text, "    return 1;");
    EXPECT_EQ(take("@" + at("one.cpp") + ":2-9").files[0]->text, "    return 1;\n}");
    EXPECT_THAT(labels(take("@" + at("*.cpp")).files), ElementsAre("one.cpp", "two.cpp"));
    EXPECT_THAT(labels(take("@" + at("*/*.h")).files), ElementsAre("three.h"));
    EXPECT_THAT(labels(take("see @\"" + at("two words.txt") + "\".").files),
                ElementsAre("two words.txt"));
    EXPECT_THAT(labels(take("@" + at("*.cpp") + " @" + at("one.cpp")).files),
                ElementsAre("one.cpp", "two.cpp"))
        << "no file goes twice";
}

TEST_F(AttachmentFiles, WhatCannotBeSentIsRefusedWithAClearSentence) {
    write("picture.png", std::string("\x89PNG\0\0", 6));
    write("latin.txt", "caf\xe9\n");
    write("empty.txt", "\n");
    write("big.txt", std::string((size_t{1} << 20U) + 1, 'x'));
    EXPECT_THAT(refusal("@" + at("none.cpp")), HasSubstr("none.cpp: no such file, @@"));
    EXPECT_THAT(refusal("@" + at("*.zz")), HasSubstr("no file matches"));
    EXPECT_THAT(refusal("@" + at("sub")), HasSubstr("is a folder, name its files"));
    EXPECT_THAT(refusal("@" + at("picture.png")), HasSubstr("is no text file (byte 4 is zero)"));
    EXPECT_THAT(refusal("@" + at("latin.txt")), HasSubstr("is no UTF-8 text"));
    EXPECT_THAT(refusal("@" + at("empty.txt")), HasSubstr("is empty"));
    EXPECT_THAT(refusal("@" + at("big.txt")), HasSubstr("more than the 1.0 MB"));
    EXPECT_THAT(refusal("@" + at("one.cpp") + ":7"), HasSubstr("has 3 lines, and no line 7"));
    EXPECT_THAT(refusal("@/dev/zero"), HasSubstr("is no ordinary file"));
}

TEST_F(AttachmentFiles, WhatLooksLikeNoPathIsText) {
    for (const std::string words : {"ask @alice about it", "who@example.org",
                                    "```\n@app.route('/x')\n```", "@ home", "really @somebody?"}) {
        const chat::Prompt prompt = take(words);
        EXPECT_EQ(prompt.text, words);
        EXPECT_THAT(prompt.files, IsEmpty()) << words;
    }
    EXPECT_EQ(take("install @@types/node").text, "install @types/node");
}

TEST_F(AttachmentFiles, ARefusalLosesNothingThatWasAttached) {
    files.attach(read_files({.path = at("two.cpp")}));
    EXPECT_THAT(refusal("@" + at("none.cpp")), HasSubstr("no such file"));
    EXPECT_THAT(labels(take("and now").files), ElementsAre("two.cpp"));
    EXPECT_THAT(files.attached(), IsEmpty()) << "it went with the message";
}

TEST_F(AttachmentFiles, AnEditedMessageKeepsItsFilesAsTheyWere) {
    chat::Turn turn;
    turn.text = "explain @" + at("one.cpp") + " for @alice";
    turn.files = take(turn.text).files;
    fs::remove(at("one.cpp"));
    files.edit(turn);
    EXPECT_THAT(labels(take("shorter: @" + at("one.cpp") + " for @alice").files),
                ElementsAre("one.cpp"))
        << "it is not read again";
    files.edit(turn);
    EXPECT_THAT(take("explain nothing").files, IsEmpty()) << "it goes with the words that named it";
    turn.text = "explain this";  // attached by /file
    files.edit(turn);
    EXPECT_THAT(labels(take("explain that").files), ElementsAre("one.cpp"));
}

TEST_F(AttachmentFiles, ArgumentsOfTheCommandNameFilesLinesAndForm) {
    const auto wishes = file_arguments(at("one.cpp") + " \"a b.txt\" --lines 2-3 --as text");
    ASSERT_EQ(wishes.size(), 2U);
    EXPECT_EQ(wishes[1].path, "a b.txt");
    EXPECT_EQ(wishes[0].first, 2U);
    EXPECT_EQ(wishes[0].last, 3U);
    EXPECT_FALSE(wishes[0].code);
    EXPECT_EQ(chat::text_with_files("", read_files(wishes[0])),
              at("one.cpp") + ":2-3:\n    return 1;\n}");
    EXPECT_THROW(file_arguments("x --lines 3-2"), core::Error);
    EXPECT_THROW(file_arguments("x --as picture"), core::Error);
}

TEST_F(AttachmentFiles, TabCompletesPathsOfAMessage) {
    write("with space.txt", "x");
    EXPECT_THAT(complete_mention("explain @" + at("o")), ElementsAre("@" + at("one.cpp")));
    EXPECT_THAT(complete_mention("@" + at("su")), ElementsAre("@" + at("sub/")));
    EXPECT_THAT(complete_mention("@" + at("with")),
                ElementsAre("@\"" + at("with space.txt") + "\""));
    EXPECT_THAT(complete_mention("explain " + at("o")), IsEmpty());
    EXPECT_THAT(complete_mention("@@" + at("o")), IsEmpty());
}

TEST(Attachment, NothingInAFileEndsItsFence) {
    EXPECT_EQ(chat::fenced("a\n````\nb"), "`````\na\n````\nb\n`````");
}

}  // namespace
}  // namespace app
