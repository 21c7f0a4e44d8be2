// A family is data: its file describes one layer, and only the forward pass computes layer by
// layer.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace {

struct Source {
    std::string name;
    std::string text;
};

std::vector<Source> sources() {
    std::vector<Source> all;
    const std::filesystem::path folder = std::string(MOXIE_SOURCE_DIR) + "/core/model";
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        std::ifstream in(entry.path());
        all.push_back({entry.path().filename().string(),
                       {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()}});
    }
    return all;
}

bool loops_over_layers(const std::string& text) {
    static const std::regex loop(R"((for|while) \([^{;]*(;[^{;]*)?layer)");
    return std::regex_search(text, loop);
}

TEST(Families, TheTestKnowsALoopOverLayers) {
    EXPECT_TRUE(loops_over_layers("for (uint32_t l = 0; l < config.layers.size(); ++l)"));
    EXPECT_TRUE(loops_over_layers("for (const LayerSpec& layer : config.layers)"));
    EXPECT_TRUE(loops_over_layers("while (layer < n)"));
    EXPECT_FALSE(loops_over_layers("for (size_t i = 0; i < experts; ++i)"));
}

TEST(Families, NoFileOfAFamilyLoopsOverLayers) {
    int families = 0;
    for (const Source& source : sources()) {
        if (source.text.find("\nconst Family k") == std::string::npos) continue;
        ++families;
        EXPECT_FALSE(loops_over_layers(source.text)) << source.name;
    }
    EXPECT_GE(families, 3);
}

// Binding, hashing and weighing visit layers too; none of them computes.
TEST(Families, OnlyTheForwardPassComputesLayerByLayer) {
    static const std::regex product(R"(\b(matmul|attention|gated_branches|rms_norm)\()");
    int passes = 0;
    for (const Source& source : sources()) {
        if (!loops_over_layers(source.text) || !std::regex_search(source.text, product)) continue;
        ++passes;
        EXPECT_EQ(source.name, "forward.cpp");
    }
    EXPECT_EQ(passes, 1);
}

}  // namespace
