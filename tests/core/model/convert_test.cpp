// Conversion to GGUF: nothing is lost unless it is asked for, and nothing is left of what fails.
#include "core/model/convert.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/model/hugging_face.h"
#include "tests/support/containers.h"
#include "tests/support/grok1_shapes.h"
#include "tests/support/loaded_model.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_model.h"

namespace core {
namespace {

using support::Family;
using support::Storage;
using testing::HasSubstr;

constexpr TokenId kTokens[] = {1, 7, 3, 41, 22, 9, 9, 30, 47, 5, 12, 18};

class Convert : public testing::Test {
  protected:
    std::string in() const { return folder.path() + "/in"; }
    std::string out() const { return folder.path() + "/out.gguf"; }
    void make_input() const { std::filesystem::create_directory(in()); }

    void run(const std::string& path, const ConvertOptions& options = {}) {
        const auto file = open_model(path);
        convert(*file, plan_conversion(*file, options), out(), pool);
    }
    support::Rows logits(const std::string& path) const {
        support::LoadedModel model(*open_model(path), select_kernels(), 2);
        return model.forward_in_chunks(KvType::f32, kTokens, std::size(kTokens));
    }

    support::TemporaryFolder folder;
    Pool pool{2};
};

TEST_F(Convert, FoldersOfHuggingFaceKeepTheirLogits) {
    for (const Family family : {Family::grok2, Family::llama, Family::mixtral, Family::qwen2moe}) {
        std::filesystem::remove_all(in());
        make_input();
        write_hugging_face(support::tiny_model(family, Storage::bf16), family,
                           support::HuggingFaceLayout::sharded, in());
        run(in());
        EXPECT_EQ(logits(out()), logits(in())) << name(family);
    }
}

TEST_F(Convert, TheIntegersAndScalesOfGrok1SurviveAsI8C) {
    make_input();
    write_grok1_checkpoint(support::tiny_checkpoint(), in());
    run(in());
    const auto before = open_model(in());
    const auto after = open_model(out());
    ASSERT_EQ(before->tensors().size(), after->tensors().size());
    uint32_t integers = 0;
    for (const TensorInfo& tensor : before->tensors()) {
        const TensorInfo& written = *after->find_tensor(tensor.name);
        EXPECT_EQ(written.type, tensor.type) << tensor.name;
        EXPECT_EQ(written.shape, tensor.shape) << tensor.name;
        EXPECT_EQ(written.scale_groups, tensor.scale_groups) << tensor.name;
        std::vector<std::byte> values[2];
        std::vector<std::byte> scales[2];
        for (int i = 0; i < 2; ++i) {
            values[i].resize(tensor.value_bytes());
            scales[i].resize(tensor.scale_bytes());
        }
        before->read_rows(tensor, 0, values[0], scales[0]);
        after->read_rows(written, 0, values[1], scales[1]);
        EXPECT_EQ(values[0], values[1]) << tensor.name;
        EXPECT_EQ(scales[0], scales[1]) << tensor.name;
        integers += tensor.type == DType::i8c ? 1 : 0;
    }
    EXPECT_GT(integers, 10u);
    EXPECT_EQ(logits(out()), logits(in()));
}

TEST_F(Convert, RulesDefaultsAndFallbacksChooseTheTypes) {
    const support::TemporaryGguf gguf(support::wide_model(Family::grok2, Storage::f32));
    const auto file = open_model(gguf.path());
    const ConvertPlan plan =
        plan_conversion(*file, {.type = DType::q4_k, .rules = {{"blk.1.attn_[kv]*", DType::q8_0}}});
    std::map<std::string, ConvertedTensor> by_name;
    for (const ConvertedTensor& tensor : plan.tensors)
        by_name[tensor.source->name] = tensor;
    EXPECT_EQ(by_name["blk.0.attn_v.weight"].type, DType::q4_k);
    EXPECT_EQ(by_name["blk.1.attn_v.weight"].type, DType::q8_0);
    EXPECT_EQ(by_name["blk.0.attn_norm.weight"].type, DType::f32);
    EXPECT_EQ(by_name["blk.0.ffn_gate_inp.weight"].type, DType::f32);
    EXPECT_EQ(by_name["output.weight"].type, DType::q6_k) << "every token reads it";
    const ConvertedTensor& narrow = by_name["blk.0.ffn_down_exps.weight"];
    EXPECT_EQ(narrow.type, DType::q5_0) << "rows of 384";
    EXPECT_TRUE(narrow.fallback);
}

TEST_F(Convert, WhatIsQuantizedIsReadAgain) {
    const support::TemporaryGguf gguf(support::wide_model(Family::llama, Storage::q8_0));
    const auto exact = logits(gguf.path());
    const std::vector<double> wanted(exact.back().begin(), exact.back().end());
    const std::map<DType, double> bounds = {
        {DType::q8_0, 0.05}, {DType::i8c, 0.1}, {DType::q4_k, 0.6}};
    for (const auto& [type, bound] : bounds) {
        run(gguf.path(), {.type = type});
        EXPECT_EQ(open_model(out())->find_tensor("blk.0.attn_q.weight")->type, type);
        // A random model of two layers makes much of little: these bounds tell types apart.
        EXPECT_LT(support::relative_error(logits(out()).back(), wanted), bound)
            << traits(type).name;
    }
}

TEST_F(Convert, WhatCannotBeDoneIsRefusedBeforeAnythingIsWritten) {
    const support::TemporaryGguf gguf(support::tiny_model(Family::llama, Storage::f32));
    const auto file = open_model(gguf.path());
    const auto refusal = [&](const ConvertOptions& options) -> std::string {
        try {
            plan_conversion(*file, options);
        } catch (const Error& error) {
            return error.what();
        }
        return "";
    };
    EXPECT_THAT(refusal({.type = DType::q2_k}), HasSubstr("type q2_k: is not written, use one of"));
    EXPECT_THAT(refusal({.rules = {{"*nothing*", DType::q8_0}}}),
                HasSubstr("rule *nothing*: matches no matrix"));
}

TEST_F(Convert, ACancelledConversionLeavesNothing) {
    const support::TemporaryGguf gguf(support::tiny_model(Family::llama, Storage::f32));
    const auto file = open_model(gguf.path());
    CancelFlag cancel{false};
    const auto stop = [&](const ConvertProgress& progress) {
        EXPECT_LE(progress.done, progress.total);
        cancel = true;
    };
    EXPECT_THROW(convert(*file, plan_conversion(*file, {}), out(), pool, stop, &cancel), Error);
    EXPECT_TRUE(folder.files().empty());
}

TEST_F(Convert, PartsThatAKilledConversionLeftAreRemovedByTheNext) {
    const support::TemporaryGguf gguf(support::tiny_model(Family::llama, Storage::f32));
    // Numbers of processes are given out again: one that lives proves nothing.
    const std::string abandoned = out() + ".partial-" + std::to_string(::getpid()) + "-77";
    const std::string living = out() + ".partial-99999999-0";
    const std::string other = out() + ".partial-notes";
    for (const std::string& path : {abandoned, living, other})
        std::ofstream(path) << "half";
    const int writer = ::open(living.c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_EQ(::flock(writer, LOCK_EX), 0);
    run(gguf.path());
    ::close(writer);
    EXPECT_FALSE(std::filesystem::exists(abandoned));
    EXPECT_TRUE(std::filesystem::exists(living));
    EXPECT_TRUE(std::filesystem::exists(other)) << "no part of a conversion";
    EXPECT_EQ(logits(out()), logits(gguf.path()));
}

TEST_F(Convert, TheTrueShapesOfGrok1ArePlannedWithoutReadingTheData) {
    make_input();
    for (uint32_t i = 0; i < support::grok1_file_count(support::kGrok1Shape); ++i)
        grok1_file(support::grok1_slot(support::kGrok1Shape, i))
            .write(in() + "/" + support::grok1_file_name(i));
    const auto file = open_model(in());
    const ConvertPlan lossless = plan_conversion(*file, {});
    EXPECT_EQ(lossless.tensors.size(), 770u);
    EXPECT_EQ(lossless.bytes, lossless.source_bytes);
    EXPECT_EQ(lossless.bytes / 1'000'000'000, 318u);
    const ConvertPlan small = plan_conversion(*file, {.type = DType::q4_k});
    EXPECT_EQ(small.bytes / 1'000'000'000, 177u);
}

}  // namespace
}  // namespace core
