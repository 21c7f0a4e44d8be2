// `moxie convert`: what it refuses before it writes, and how it ends.
#include "app/subcommands/convert_cmd.h"

#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/support/containers.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_model.h"

namespace app {
namespace {

namespace fs = std::filesystem;
using core::ErrorKind;
using support::Family;
using support::HuggingFaceLayout;
using support::Storage;
using testing::HasSubstr;

class Convert : public testing::Test {
  protected:
    std::string path(const std::string& name) const { return folder.path() + "/" + name; }

    std::string write_gguf(const std::string& name) const {
        support::write_gguf(support::tiny_model(Family::llama, Storage::bf16), path(name));
        return path(name);
    }
    // Grok-2 as it is released: experts in eight files.
    std::string write_shards() const {
        write_hugging_face(support::tiny_model(Family::grok2, Storage::bf16), Family::grok2,
                           HuggingFaceLayout::tensor_parallel, folder.path());
        return folder.path();
    }
    static int run(const std::string& input, const std::string& output, bool force = false,
                   const std::string& type = "") {
        std::ostringstream out;
        return run_convert({.input = input,
                            .output = output,
                            .type = type,
                            .rules = {},
                            .threads = 1,
                            .force = force,
                            .progress = false},
                           out);
    }
    // The sentence of the refusal.
    static std::string refusal(ErrorKind kind, const std::function<void()>& action) {
        try {
            action();
        } catch (const core::Error& error) {
            EXPECT_EQ(error.kind(), kind) << error.what();
            return error.what();
        }
        ADD_FAILURE() << "was accepted";
        return {};
    }

    support::TemporaryFolder folder;
};

TEST_F(Convert, ReplacesAFileOnlyWhenItIsTold) {
    const std::string in = write_gguf("in.gguf");
    const std::string out = path("out.gguf");
    EXPECT_EQ(run(in, out), 0);
    EXPECT_EQ(refusal(ErrorKind::usage, [&] { run(in, out); }),
              out + ": exists, give --force to replace it");
    EXPECT_EQ(run(in, out, true, "q8_0"), 0);
    EXPECT_LT(fs::file_size(out), fs::file_size(in));
}

TEST_F(Convert, NeverReplacesWhatIsNoFileNorTheModelItself) {
    const std::string in = write_gguf("in.gguf");
    const std::string device = path("device");
    ASSERT_EQ(::mkfifo(device.c_str(), 0600), 0);
    EXPECT_EQ(refusal(ErrorKind::usage, [&] { run(in, device, true); }),
              device + ": is no regular file, name another");
    EXPECT_TRUE(fs::is_fifo(device));
    EXPECT_EQ(refusal(ErrorKind::usage, [&] { run(in, folder.path(), true); }),
              folder.path() + ": is a folder, name a file in it");
    const std::string link = path("link.gguf");
    fs::create_symlink(in, link);
    for (const std::string& same : {in, link}) {
        EXPECT_EQ(refusal(ErrorKind::usage, [&] { run(in, same, true); }),
                  same + ": is the model that is to be read, name another file");
    }
}

TEST_F(Convert, NamesAllTypesWhereOneIsNotKnown) {
    const std::string sentence = refusal(
        ErrorKind::usage, [&] { run(write_gguf("in.gguf"), path("out.gguf"), false, "x"); });
    for (const char* type : {"i8c", "f32", "q8_0", "q4_1", "q5_k", "iq4_nl"})
        EXPECT_THAT(sentence, HasSubstr(type));
}

TEST_F(Convert, AModelThatMissesAShardIsRefused) {
    const std::string in = write_shards();
    const std::string shard = "/pytorch_model-00006-TP-00";
    fs::remove(in + shard + "7.safetensors");
    EXPECT_THAT(refusal(ErrorKind::model_unusable, [&] { run(in, path("out.gguf")); }),
                HasSubstr("blk.0.ffn_gate_exps.weight has shape [64, 84, 4], expected"));
    fs::remove(in + shard + "3.safetensors");
    EXPECT_EQ(refusal(ErrorKind::model_unusable, [&] { run(in, path("out.gguf")); }),
              in + shard + "3.safetensors: is missing, the download is incomplete");
    fs::remove(in + shard + "0.safetensors");
    EXPECT_EQ(refusal(ErrorKind::model_unusable, [&] { run(in, path("out.gguf")); }),
              in + shard + "0.safetensors: is missing, the download is incomplete");
    EXPECT_FALSE(fs::exists(path("out.gguf")));
}

TEST_F(Convert, OneShardIsNoModel) {
    const std::string in = write_shards();
    EXPECT_THAT(
        refusal(ErrorKind::model_unusable,
                [&] { run(in + "/pytorch_model-00006-TP-001.safetensors", path("out.gguf")); }),
        HasSubstr("is missing"));
}

TEST_F(Convert, AFolderOfGgufFilesNamesOne) {
    write_gguf("b.gguf");
    write_gguf("a.gguf");
    EXPECT_EQ(refusal(ErrorKind::model_not_found, [&] { run(folder.path(), path("out.gguf")); }),
              folder.path() + ": is a folder of GGUF files, name one of them: " + path("a.gguf"));
}

TEST_F(Convert, APathThatCannotBeFollowedIsNotFound) {
    const std::string loop = path("loop");
    fs::create_symlink(loop, loop);
    EXPECT_THAT(refusal(ErrorKind::model_not_found, [&] { run(loop, path("out.gguf")); }),
                HasSubstr(loop + ": cannot be opened: Too many levels of symbolic links"));
}

}  // namespace
}  // namespace app
