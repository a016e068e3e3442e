def evaluate(agent, env, episodes=2):
    """Return the mean return of the mode of the policy."""
    total = 0.0
    for _ in range(episodes):
        observation, done = env.reset(), False
        while not done:
            observation, reward, done = env.step(agent.sample_actions(observation))
            total += reward
    return total / episodes
