/**
 * @file iscp.hpp
 * @brief libiscp for C++17: classes over iscp.h, header only.
 *
 * Everything of iscp.h is here under a similar name: `iscp_upstream_flush_wait` is
 * `iscp::upstream::flush_wait`. docs/cpp.md is the guide, iscp.h the reference of what a call means.
 *
 * - **Owners.** `connection`, `upstream`, `downstream`, `chunk`, `metadata`, `incoming_call`, `event`,
 * `path`, `token_request` and the options own one object of the library each. They are moved, not copied, and
 * end in any order, on any thread, in handlers too; that never blocks. An owner that was moved from has
 *   nothing: calls fail with `ISCP_ERR_NULL_ARGUMENT`.
 * - **Views.** `chunk_view`, `metadata_view`, `incoming_call_view`, `event_view`, `bytes`, `std::string_view`
 *   borrow. What handlers are given is valid until they return; `keep()` makes it last.
 * - **Errors.** What can fail gives a `result<T>`. Look at it, or call `value()`, which throws `iscp::error`;
 *   where exceptions are off, it prints the error and aborts. Nothing else throws but allocation. The codes
 *   are those of iscp.h.
 * - **Handlers.** Any callable object, kept by the library until its last call has returned and then
 *   destroyed exactly once, also when the call it was given to fails. Handlers run on threads of the library,
 *   as iscp.h describes, and must not throw: an exception that leaves one ends the program with
 *   `std::terminate`.
 * - **Threads.** Connections and streams may be used by several threads at once, but for moving and ending
 *   them. Options, and results, have one user at a time. What was received never changes.
 * - **Times.** Time-outs are any duration of `std::chrono`, or `iscp::forever`.
 * - **Compilers.** C++17 and later, with and without exceptions and RTTI, in one program too.
 */
#ifndef ISCP_ISCP_HPP
#define ISCP_ISCP_HPP

#include <iscp/cpp/connection.hpp>
#include <iscp/cpp/library.hpp>

#endif
