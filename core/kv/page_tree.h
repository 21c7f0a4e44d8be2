// The pages in memory by what they stand for: a tree of token ids for each scope.
//
// Invariants
//  1. A page is in the tree only below its parent; leaves go first.
//  2. A page has been used no later than its parent, so that the last of `recent_` is a leaf.
//  3. Among siblings none contains another (see add()).
// Engine thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/base/token_id.h"
#include "core/kv/page_file.h"
#include "core/kv/page_name.h"
#include "core/kv/page_pool.h"

namespace core {

class PageTree {
  public:
    struct Node {
        PageName name;
        PageName root;
        Node* parent = nullptr;
        std::vector<TokenId> ids;  // kPagePositions of them, fewer in a tail; none in a root
        PageRef page;              // null in a root
        std::vector<Node*> children = {};
        bool persist = false;  // may be written to disk
    };

    // How far the tree agrees with a line of tokens.
    struct Match {
        std::vector<Node*> pages;  // full ones, from the beginning
        Node* last = nullptr;      // the node at which the full ones end; a root if there are none
        Node* partial = nullptr;   // the child of `last` that agrees with most of what follows
        uint32_t rows = 0;         // of partial that agree

        uint32_t tokens() const {
            return static_cast<uint32_t>(pages.size()) * kPagePositions + rows;
        }
    };

    explicit PageTree(CacheIdentity identity) : identity_(identity) {}

    // Marks nothing as used.
    Match match(std::string_view scope, std::span<const TokenId> tokens);
    // Marks a node and all above it as used.
    void touch(Node* node);

    // The child of `parent` with these ids, added with this page if there is none. Null when
    // another page has the same name, which happens to crafted ids only. A child contains another
    // when its ids begin with the other's and it may be written if the other may. Tails that the
    // new child contains are handed to `superseded` and removed; when a child contains the new one,
    // that child is returned.
    Node* add(Node* parent, std::span<const TokenId> ids, const PageRef& page, bool persist,
              const std::function<void(const Node&)>& superseded = {});

    // A page or a root; null when it is not there.
    Node* find(const PageName& name);
    Node* root(std::string_view scope);

    // Removes the least recently used leaf that nobody else refers to. False when there is none.
    bool evict();

    // Forgets the pages of a line that nothing else hangs below, and the tails within it.
    void drop(std::string_view scope, std::span<const TokenId> line);
    void drop_all(std::string_view scope);

    size_t size() const { return index_.size(); }

    // Calls visit(leaf) for each line of a scope, the most recently used first.
    void for_each_leaf(std::string_view scope, const std::function<void(Node&)>& visit);

  private:
    using Recent = std::list<Node>;
    void remove(Node* leaf);

    CacheIdentity identity_;
    std::map<std::string, std::unique_ptr<Node>, std::less<>> roots_;  // by scope
    std::unordered_map<PageName, Node*, PageNameHash> roots_by_name_;
    Recent recent_;  // the most recently used first
    std::unordered_map<PageName, Recent::iterator, PageNameHash> index_;
};

// All ids from the beginning to this node.
std::vector<TokenId> line_of(const PageTree::Node& node);
// REQUIRES: not a root.
PageAddress address_of(const PageTree::Node& node);

}  // namespace core
