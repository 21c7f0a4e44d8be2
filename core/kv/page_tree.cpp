#include "core/kv/page_tree.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/base/error.h"

namespace core {

PageTree::Node* PageTree::root(std::string_view scope) {
    if (const auto known = roots_.find(scope); known != roots_.end()) return known->second.get();
    auto node = std::make_unique<Node>();
    node->name = node->root = root_name(identity_, scope);
    Node* added = node.get();
    roots_.emplace(scope, std::move(node));
    roots_by_name_.emplace(added->name, added);
    return added;
}

PageTree::Node* PageTree::find(const PageName& name) {
    if (const auto page = index_.find(name); page != index_.end()) return &*page->second;
    const auto root = roots_by_name_.find(name);
    return root == roots_by_name_.end() ? nullptr : root->second;
}

PageTree::Match PageTree::match(std::string_view scope, std::span<const TokenId> tokens) {
    Match match{.pages = {}, .last = root(scope), .partial = nullptr, .rows = 0};
    for (; tokens.size() >= kPagePositions; tokens = tokens.subspan(kPagePositions)) {
        const auto ids = tokens.first(kPagePositions);
        const auto page = index_.find(page_name(match.last->name, ids));
        if (page == index_.end() || page->second->parent != match.last ||
            !std::ranges::equal(page->second->ids, ids))
            break;
        match.last = &*page->second;
        match.pages.push_back(match.last);
    }
    for (Node* child : match.last->children) {
        const auto rows = static_cast<uint32_t>(common_prefix(child->ids, tokens));
        if (rows <= match.rows) continue;
        match.rows = rows;
        match.partial = child;
    }
    return match;
}

void PageTree::touch(Node* node) {
    for (; node->parent != nullptr; node = node->parent)
        recent_.splice(recent_.begin(), recent_, index_.at(node->name));
}

PageTree::Node* PageTree::add(Node* parent, std::span<const TokenId> ids, const PageRef& page,
                              bool persist, const std::function<void(const Node&)>& superseded) {
    const PageName name = page_name(parent->name, ids);
    if (const auto known = index_.find(name); known != index_.end()) {
        Node& node = *known->second;
        if (node.parent != parent || !std::ranges::equal(node.ids, ids)) return nullptr;
        node.persist = node.persist || persist;
        return &node;
    }
    for (size_t i = parent->children.size(); i-- > 0;) {
        Node* sibling = parent->children[i];
        const size_t common = common_prefix(sibling->ids, ids);
        if (common == ids.size() && (sibling->persist || !persist)) return sibling;
        if (common < sibling->ids.size() || (sibling->persist && !persist)) continue;
        if (superseded) superseded(*sibling);
        remove(sibling);
    }
    recent_.push_front({.name = name,
                        .root = parent->root,
                        .parent = parent,
                        .ids = {ids.begin(), ids.end()},
                        .page = page,
                        .persist = persist});
    index_.emplace(name, recent_.begin());
    Node* added = &recent_.front();
    parent->children.push_back(added);
    touch(added);
    return added;
}

void PageTree::remove(Node* leaf) {
    MOXIE_CHECK(leaf->children.empty() && leaf->parent != nullptr);
    std::erase(leaf->parent->children, leaf);
    const auto entry = index_.find(leaf->name);
    recent_.erase(entry->second);
    index_.erase(entry);
}

// Children have been used before their parents, so the search meets leaves first. A page in use has
// its parents in use, so it is the leaves that decide.
bool PageTree::evict() {
    const auto unused = [](const Node& node) {
        return node.children.empty() && node.page.use_count() == 1;
    };
    const auto oldest = std::find_if(recent_.rbegin(), recent_.rend(), unused);
    if (oldest == recent_.rend()) return false;
    remove(&*oldest);
    return true;
}

void PageTree::drop(std::string_view scope, std::span<const TokenId> line) {
    Match match = this->match(scope, line);
    std::vector<Node*> path{root(scope)};
    path.insert(path.end(), match.pages.begin(), match.pages.end());
    for (; !path.empty(); path.pop_back()) {
        Node* node = path.back();
        const auto rest = line.subspan((path.size() - 1) * kPagePositions);
        for (size_t i = node->children.size(); i-- > 0;) {
            Node* child = node->children[i];
            if (child->ids.size() < kPagePositions &&
                common_prefix(child->ids, rest) == child->ids.size())
                remove(child);
        }
        if (node->parent != nullptr && node->children.empty()) remove(node);
    }
}

// Backwards in time every page is a leaf when its turn comes.
void PageTree::drop_all(std::string_view scope) {
    const PageName name = root(scope)->name;
    for (auto later = recent_.end(); later != recent_.begin();) {
        Node& node = *std::prev(later);
        if (node.root == name)
            remove(&node);
        else
            --later;
    }
}

void PageTree::for_each_leaf(std::string_view scope, const std::function<void(Node&)>& visit) {
    const auto root = roots_.find(scope);
    if (root == roots_.end()) return;
    for (Node& node : recent_)
        if (node.children.empty() && node.root == root->second->name) visit(node);
}

PageAddress address_of(const PageTree::Node& node) {
    return {.root = node.root,
            .parent = node.parent->name,
            .name = node.name,
            .tokens = static_cast<uint32_t>(node.ids.size())};
}

std::vector<TokenId> line_of(const PageTree::Node& node) {
    std::vector<const PageTree::Node*> path;
    for (const PageTree::Node* at = &node; at->parent != nullptr; at = at->parent)
        path.push_back(at);
    std::vector<TokenId> line;
    for (auto page = path.rbegin(); page != path.rend(); ++page)
        line.insert(line.end(), (*page)->ids.begin(), (*page)->ids.end());
    return line;
}

}  // namespace core
