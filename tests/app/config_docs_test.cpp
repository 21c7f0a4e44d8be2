// The documents that are made from the table of keys are those that the program would make.
// MOXIE_UPDATE_DOCS=1 writes them.
#include <cstdlib>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "app/settings/config.h"
#include "app/settings/config_text.h"
#include "tests/support/temporary_folder.h"

namespace app {
namespace {

void expect_document(const std::string& name, const std::string& made) {
    const std::string path = std::string(MOXIE_SOURCE_DIR) + "/" + name;
    // No thread is there that could change it.
    const char* update = std::getenv("MOXIE_UPDATE_DOCS");
    if (update != nullptr) std::ofstream(path) << made;
    EXPECT_EQ(support::content_of(path), made) << "MOXIE_UPDATE_DOCS=1 makes " << name << " anew";
}

TEST(ConfigDocuments, TheReferenceListsEveryKey) {
    expect_document("docs/config.md", config_reference());
}

TEST(ConfigDocuments, TheDefaultFileHasEveryKeyAsAComment) {
    expect_document("configs/default.toml", config_template());
}

TEST(ConfigDocuments, TheDefaultFileWithoutItsCommentSignsIsWithoutMistakes) {
    std::string text = config_template();
    for (size_t at = 0; (at = text.find("\n# ", at)) != std::string::npos; ++at)
        if (text[at + 3] == '[' || text.find(" = ", at) < text.find('\n', at + 1))
            text.erase(at + 1, 2);
    const support::TemporaryFolder folder;
    std::ofstream(folder.path() + "/config.toml") << text;
    const Config config = Config::load({.user_file = folder.path() + "/config.toml"});
    EXPECT_NO_THROW(require_no_mistake(config.notices()));
    EXPECT_TRUE(config.is_set("log.prompts"));
}

}  // namespace
}  // namespace app
