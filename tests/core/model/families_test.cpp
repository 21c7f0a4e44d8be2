// A family is data: its file describes one layer, and only the forward pass goes from layer to
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

// A loop, or an algorithm of the library that is one. for_each_layer is forward_layers.h's.
bool loops_over_layers(const std::string& text) {
    static const std::regex loop(R"((for|while) \([^{;]*(;[^{;]*)?layer(?!\.))");
    static const std::regex algorithm(R"(std::(ranges::)?\w+\((\w|[.>-])*layers)");
    return std::regex_search(text, loop) || std::regex_search(text, algorithm);
}

TEST(Families, TheTestKnowsALoopOverLayers) {
    EXPECT_TRUE(loops_over_layers("for (uint32_t l = 0; l < config.layers.size(); ++l)"));
    EXPECT_TRUE(loops_over_layers("for (const LayerSpec& layer : config.layers)"));
    EXPECT_TRUE(loops_over_layers("while (layer < n)"));
    EXPECT_TRUE(loops_over_layers("std::ranges::transform(config.layers, out, f)"));
    EXPECT_TRUE(loops_over_layers("std::accumulate(weights->layers.begin()"));
    EXPECT_FALSE(loops_over_layers("for (size_t i = 0; i < experts; ++i)"));
    EXPECT_FALSE(loops_over_layers("for (const Expert& expert : layer.experts)"));
    EXPECT_FALSE(loops_over_layers("for_each_layer(layers.size(), visit)"));
}

TEST(Families, NoFileButTheForwardPassLoopsOverLayers) {
    int files = 0;
    int passes = 0;
    for (const Source& source : sources()) {
        ++files;
        const bool pass = source.name.starts_with("forward");
        const bool loops = loops_over_layers(source.text);
        EXPECT_TRUE(pass || !loops) << source.name;
        passes += loops ? 1 : 0;
    }
    EXPECT_GT(files, 15);
    EXPECT_EQ(passes, 2) << "the pass itself and the walk that it lends";
}

TEST(Families, AFamilyIsAFileAndALine) {
    int families = 0;
    for (const Source& source : sources()) {
        if (source.text.find("\nconst Family k") == std::string::npos) continue;
        ++families;
        EXPECT_EQ(source.text.find("for_each_layer"), std::string::npos) << source.name;
    }
    EXPECT_GE(families, 3);
}

}  // namespace
