from networks.critic import Critic, DoubleCritic, Ensemble
from networks.policy import NormalTanhPolicy
from networks.temperature import Temperature
