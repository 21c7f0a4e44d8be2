// Imported files are untrusted.
#include "core/store/import.h"

#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace core {
namespace {

std::string refusal(const std::string& content) {
    const support::TemporaryFolder folder;
    const std::string path = folder.path() + "/chats.jsonl";
    std::ofstream(path) << content;
    try {
        read_conversations(path, [](const StoredConversation&) {});
    } catch (const Error& error) {
        return error.kind() == ErrorKind::storage ? error.problem() : "another kind of error";
    }
    return "accepted";
}

// nlohmann would have converted them: to anything, or not at all.
TEST(Import, ANumberThatDoesNotFitIsRefused) {
    const std::string head = R"({"moxie_chat":1,"title":"t","tip":1})";
    const auto turn = [&](const char* member) {
        return head + "\n" + R"({"turn":1,"role":"assistant","text":"x",)" + member + "}";
    };
    EXPECT_EQ(refusal(turn(R"("seed":7)")), "accepted");
    EXPECT_EQ(refusal(turn(R"("tokens":[1e300])")), "a number has no place here: 1e+300");
    EXPECT_EQ(refusal(turn(R"("tokens":[4294967296])")), "a number has no place here: 4294967296");
    EXPECT_EQ(refusal(turn(R"("seed":-1)")), "a number has no place here: -1");
    EXPECT_EQ(refusal(turn(R"("choice":1.5)")), "a number has no place here: 1.5");
    EXPECT_EQ(refusal(R"({"moxie_chat":1e300})"), "a number has no place here: 1e+300");
}

}  // namespace
}  // namespace core
