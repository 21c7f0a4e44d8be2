// What a model file recommends for sampling.
#include "core/engine/sampling_hints.h"

#include <array>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "core/formats/gguf_writer.h"
#include "tests/support/temporary_folder.h"

namespace core {
namespace {

TEST(SamplingHints, AreTheKeysOfTheFileUnderOurNames) {
    const support::TemporaryFolder folder;
    const std::string path = folder.path() + "/model.gguf";
    GgufWriter writer(path);
    writer.add_string("general.architecture", "llama");
    writer.add<float>("general.sampling.temp", 0.6F);
    writer.add<uint32_t>("general.sampling.top_k", 20);
    writer.add<float>("general.sampling.top_p", 0.95F);
    writer.add<int32_t>("general.sampling.penalty_last_n", 64);
    writer.add<float>("general.sampling.mirostat_tau", 5.0F);  // nothing here takes it
    writer.declare("x", DType::f32, {1});
    writer.append_floats(std::array{1.0F});
    writer.finish();
    const std::map<std::string, std::string> expected = {
        {"temperature", "0.6"}, {"top_k", "20"}, {"top_p", "0.95"}, {"repetition_window", "64"}};
    EXPECT_EQ(sampling_hints(*open_weight_file(path)), expected);
}

}  // namespace
}  // namespace core
