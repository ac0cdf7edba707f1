"""Has a client parse INFO, and asks for the fields from which exporters and dashboards for Redis live.

    parsed.py PORT
"""

import sys

import redis

# Those of redis_exporter that mean something without replicas, modules and a cluster.
FIELDS = """
redis_version redis_mode os arch_bits process_id run_id tcp_port uptime_in_seconds
connected_clients maxclients blocked_clients tracking_clients clients_in_timeout_table cluster_connections
client_recent_max_input_buffer client_recent_max_output_buffer
used_memory used_memory_rss used_memory_peak used_memory_dataset total_system_memory maxmemory maxmemory_policy
mem_fragmentation_ratio mem_fragmentation_bytes mem_clients_normal mem_allocator
loading async_loading rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_status
rdb_last_bgsave_time_sec rdb_current_bgsave_time_sec aof_enabled aof_rewrite_in_progress aof_last_write_status
aof_last_bgrewrite_status
total_connections_received total_commands_processed instantaneous_ops_per_sec total_net_input_bytes
total_net_output_bytes instantaneous_input_kbps instantaneous_output_kbps rejected_connections expired_keys
evicted_keys keyspace_hits keyspace_misses pubsub_channels pubsub_patterns total_error_replies
role connected_slaves master_replid master_repl_offset second_repl_offset repl_backlog_active
used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children cluster_enabled
""".split()
TEXT = {"redis_version", "redis_mode", "os", "run_id", "maxmemory_policy", "mem_allocator", "role", "master_replid"}
TEXT |= {"rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status"}

client = redis.Redis(port=int(sys.argv[1]))
client.set("parsed", 1)
client.get("parsed")
info = client.info()
missing = [name for name in FIELDS if name not in info]
assert not missing, missing
numbers = [name for name in FIELDS if name not in TEXT and not isinstance(info[name], (int, float))]
assert not numbers, {name: info[name] for name in numbers}
assert info["db0"]["keys"] >= 1, info["db0"]
everything = client.info("everything")
get = everything["cmdstat_get"]
assert get["calls"] >= 1 and {"usec", "usec_per_call", "rejected_calls", "failed_calls"} <= set(get), get
assert everything["latency_percentiles_usec_get"]["p99"] > 0
shard = everything["shard0"]
assert {"depth", "borrowed", "mailed", "lost"} <= set(shard), shard
me = client.client_list()[0]
assert {"id", "addr", "laddr", "age", "idle", "cmd", "tot-mem", "resp", "user"} <= set(me), me
assert str(client.client_info()["id"]) == me["id"]
client.config_resetstat()
assert client.info("stats")["keyspace_hits"] == 0
print(f"{len(info)} fields of INFO, {len(everything)} with everything")
