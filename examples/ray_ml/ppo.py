"""RLlib: a few iterations of PPO on CartPole."""

import json
import sys

import ray
from ray.rllib.algorithms.ppo import PPOConfig

ray.init()
config = (
    PPOConfig()
    .environment("CartPole-v1")
    .env_runners(num_env_runners=1, rollout_fragment_length="auto", num_cpus_per_env_runner=0.5)
    .training(train_batch_size_per_learner=400, minibatch_size=100, num_epochs=4)
)
algorithm = config.build_algo()
for number in range(int(sys.argv[1])):
    returns = algorithm.train()["env_runners"].get("episode_return_mean")
    print(json.dumps({"iteration": number, "return": returns}), flush=True)
algorithm.stop()
print("result:", json.dumps({"return": returns}), flush=True)
